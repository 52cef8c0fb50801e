"""Accumulating metrics: fed batch by batch, they tell of the whole set.

They are exact but for one: the median angle over all pixels is that of a histogram, within 0.0005
degrees. With ``average="batch"`` errors of depth and normals are means over batches, as some of
the published codes report them, and depend on the batches' size.

Each follows ``mtl_bench.tasks.Accumulator``. ``update`` works on whatever device the tensors are
on and never waits for it; ``compute`` does. A set without any valid target raises a ``DataError``.
"""

from __future__ import annotations

from mtl_bench.metrics.averages import Average
from mtl_bench.metrics.classification import ClassificationMetrics
from mtl_bench.metrics.normals import AngleErrors
from mtl_bench.metrics.regression import (
    DepthErrors,
    DisparityError,
    InstanceError,
    MeanAbsoluteError,
)
from mtl_bench.metrics.segmentation import SegmentationMetrics

__all__ = [
    "AngleErrors",
    "Average",
    "ClassificationMetrics",
    "DepthErrors",
    "DisparityError",
    "InstanceError",
    "MeanAbsoluteError",
    "SegmentationMetrics",
]
