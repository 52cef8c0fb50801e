"""The three tasks of the NYU-v2 benchmark and their nine metrics."""

from __future__ import annotations

from functools import partial

from mtl_bench.losses import (
    best_class,
    depth_l1,
    has_depth,
    has_normal,
    is_labelled,
    normal_cosine,
    segmentation_nll,
)
from mtl_bench.metrics import AngleErrors, Average, DepthErrors, SegmentationMetrics
from mtl_bench.tasks import Metric, Task

CLASSES = 13
IGNORE = -1
"""Label of pixels without a class."""


def nyuv2_tasks(metric_average: Average) -> tuple[Task, ...]:
    """Return segmentation, depth and normal.

    The references are the single-task values of CAGrad (NeurIPS 2021), which Nash-MTL, FAMO,
    Aligned-MTL and TaskForce took over, with all their digits. TaskForce's table rounds the depth
    errors to two decimals, which moves Δm by up to 0.2.

    Args:
        metric_average: how the metrics of depth and normals are averaged: ``batch`` as in MTAN and
            Nash-MTL, where they depend on the size of the test batches (2 there), or ``pixel`` as
            in Aligned-MTL. mIoU and pixel accuracy are over all pixels in either.
    """
    return (
        Task(
            name="segmentation",
            label="Segmentation",
            loss=partial(segmentation_nll, ignore=IGNORE),
            metrics=(
                Metric("miou", unit="%", higher_is_better=True, reference=38.30),
                Metric("pixacc", unit="%", higher_is_better=True, reference=63.76),
            ),
            accumulator=partial(SegmentationMetrics, CLASSES),
            valid=partial(is_labelled, ignore=IGNORE),
            readable=best_class,
        ),
        Task(
            name="depth",
            label="Depth",
            loss=depth_l1,
            metrics=(
                Metric("abs_err", unit="m", reference=0.6754),
                Metric("rel_err", reference=0.2780),
            ),
            accumulator=partial(DepthErrors, metric_average),
            valid=has_depth,
        ),
        Task(
            name="normal",
            label="Normals",
            loss=normal_cosine,
            metrics=(
                Metric("angle_mean", unit="°", reference=25.01),
                Metric("angle_median", unit="°", reference=19.21),
                Metric("within_11_25", unit="%", higher_is_better=True, reference=30.14),
                Metric("within_22_5", unit="%", higher_is_better=True, reference=57.20),
                Metric("within_30", unit="%", higher_is_better=True, reference=69.15),
            ),
            accumulator=partial(AngleErrors, metric_average),
            valid=has_normal,
        ),
    )
