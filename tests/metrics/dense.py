"""Dense tasks in miniature: random batches, and their metrics written with NumPy's masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl_bench.metrics import (
    AngleErrors,
    DepthErrors,
    DisparityError,
    InstanceError,
    SegmentationMetrics,
)

CLASSES = 4
Batch = tuple[np.ndarray, np.ndarray]


class Case(NamedTuple):
    """An accumulator and what it is checked against.

    ``errors`` returns the metrics of one set of pixels, or None if none of them is valid.
    """

    accumulator: Callable[[], Any]
    average: str
    draw: Callable[[np.random.Generator, tuple[int, int, int]], Batch]
    void: float
    errors: Callable[[np.ndarray, np.ndarray], dict[str, float] | None]
    perfect: Callable[[np.ndarray], np.ndarray]
    best: dict[str, float]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def draw_segmentation(rng: np.random.Generator, shape: tuple[int, int, int]) -> Batch:
    scores = rng.normal(size=(shape[0], CLASSES, *shape[1:])).astype(np.float32)
    return scores, rng.integers(-1, CLASSES, shape)


def draw_depth(rng: np.random.Generator, shape: tuple[int, int, int]) -> Batch:
    size = (shape[0], 1, *shape[1:])
    depth = rng.uniform(0.5, 9, size) * (rng.random(size) < 0.8)
    return rng.normal(3, 2, size).astype(np.float32), depth.astype(np.float32)


def draw_normals(rng: np.random.Generator, shape: tuple[int, int, int]) -> Batch:
    target = unit(rng.normal(size=(shape[0], 3, *shape[1:])))
    prediction = unit(target + rng.normal(0, 0.4, target.shape))
    return prediction, target * (rng.random((shape[0], 1, *shape[1:])) < 0.8)


def draw_offsets(rng: np.random.Generator, shape: tuple[int, int, int]) -> Batch:
    size = (shape[0], 2, *shape[1:])
    target = np.where(rng.random(size) < 0.7, rng.normal(0, 60, size), 250)
    return rng.normal(0, 60, size).astype(np.float32), target.astype(np.float32)


def segmentation_errors(scores: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    labelled = (target >= 0) & (target < CLASSES)
    if not labelled.any():
        return None
    guess, truth = scores.argmax(1)[labelled], target[labelled]
    ious = []
    for label in range(CLASSES):
        union = ((guess == label) | (truth == label)).sum()
        if union:
            ious.append(((guess == label) & (truth == label)).sum() / union)
    return {"miou": 100 * np.mean(ious), "pixacc": 100 * np.mean(guess == truth)}


def depth_errors(prediction: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    truth = target[target > 0].astype(np.float64)
    if not truth.size:
        return None
    errors = np.abs(prediction[target > 0] - truth)
    return {"abs_err": errors.mean(), "rel_err": (errors / truth).mean()}


def angle_errors(prediction: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    valid = np.abs(target).sum(1) > 0
    if not valid.any():
        return None
    cosine = np.einsum("bchw,bchw->bhw", prediction, target, dtype=np.float64)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))[valid]
    return {
        "angle_mean": np.mean(angles),
        "angle_median": np.median(angles),
        "within_11_25": 100 * np.mean(angles < 11.25),
        "within_22_5": 100 * np.mean(angles < 22.5),
        "within_30": 100 * np.mean(angles < 30),
    }


def instance_errors(prediction: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    whole = target.astype(np.int32)
    valid = whole != 250
    if not valid.any():
        return None
    return {"inst_l1_px": np.abs(prediction[valid].astype(np.int32) - whole[valid]).mean()}


def disparity_errors(prediction: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    truth = target[target > 0].astype(np.float64)
    return {"disparity_mse": ((prediction[target > 0] - truth) ** 2).mean()} if truth.size else None


def one_hot(target: np.ndarray) -> np.ndarray:
    scores = np.eye(CLASSES, dtype=np.float32)[target.clip(0, CLASSES - 1)]
    return np.moveaxis(scores, -1, 1)


SEGMENTATION = Case(
    lambda: SegmentationMetrics(CLASSES),
    "pixel",
    draw_segmentation,
    -1,
    segmentation_errors,
    one_hot,
    {"miou": 100.0, "pixacc": 100.0},
)
NO_ANGLE = {
    "angle_mean": 0.0,
    "angle_median": 0.0,
    "within_11_25": 100.0,
    "within_22_5": 100.0,
    "within_30": 100.0,
}
CASES = {
    "segmentation": SEGMENTATION,
    "instance": Case(
        lambda: InstanceError(250),
        "pixel",
        draw_offsets,
        250,
        instance_errors,
        np.copy,
        {"inst_l1_px": 0.0},
    ),
    "disparity": Case(
        DisparityError,
        "pixel",
        draw_depth,
        0,
        disparity_errors,
        np.copy,
        {"disparity_mse": 0.0},
    ),
    **{
        f"depth_{average}": Case(
            lambda average=average: DepthErrors(average),
            average,
            draw_depth,
            0,
            depth_errors,
            np.copy,
            {"abs_err": 0.0, "rel_err": 0.0},
        )
        for average in ("batch", "pixel")
    },
    **{
        f"normal_{average}": Case(
            lambda average=average: AngleErrors(average),
            average,
            draw_normals,
            0,
            angle_errors,
            np.copy,
            NO_ANGLE,
        )
        for average in ("batch", "pixel")
    },
}


def reference(case: Case, batches: list[Batch]) -> dict[str, float]:
    """Metrics of batches, over all their pixels or as the mean of their own values."""
    if case.average == "pixel":
        whole = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        values = case.errors(*whole)
        assert values is not None
        return values
    each = [found for batch in batches if (found := case.errors(*batch)) is not None]
    return {name: float(np.mean([values[name] for values in each])) for name in each[0]}


def tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    prediction, target = batch
    return torch.from_numpy(prediction), torch.from_numpy(target)


def measure(case: Case, batches: list[Batch]) -> dict[str, float]:
    accumulator = case.accumulator()
    for batch in batches:
        accumulator.update(*tensors(batch))
    return accumulator.compute()
