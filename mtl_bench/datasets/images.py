"""Batches of images with their targets.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mtl_bench.datasets.base import group_rows
from mtl_bench.errors import DataError


@dataclass(frozen=True)
class ImageBatch:
    """Images and the targets of their tasks.

    Args:
        images_BCHW: float32 network inputs.
        targets: task name -> targets, the batch first.
    """

    images_BCHW: Tensor
    targets: Mapping[str, Tensor]

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        return type(self)(
            self.images_BCHW.to(device, non_blocking=True),
            {task: t.to(device, non_blocking=True) for task, t in self.targets.items()},
        )

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory, as torch's loader asks for."""
        return type(self)(
            self.images_BCHW.pin_memory(),
            {task: target.pin_memory() for task, target in self.targets.items()},
        )


@dataclass(frozen=True)
class TaskImageBatch(ImageBatch):
    """Images of one task each, task after task in the order of ``targets``; see ``TaskBatch``."""

    @property
    def rows(self) -> dict[str, slice]:
        """Task -> the rows of its images."""
        return group_rows(self.targets)

    def of(self, task: str) -> Self:
        """Return the batch of one task's images alone."""
        return type(self)(self.images_BCHW[self.rows[task]], {task: self.targets[task]})


def spread(count: int, size: int | None, key: str, folder: Path, holdout: int = 0) -> np.ndarray:
    """Return the numbers of ``size`` evenly spaced frames of ``count``: neighbours look alike.

    Args:
        count: frames that there are.
        size: frames that are wanted; None for all.
        key: field of the data set's configuration that says so.
        folder: where they are.
        holdout: frames of the folder that are not among them, ``dataset.holdout``.

    Raises:
        DataError: there are fewer.
    """
    if size is None:
        return np.arange(count)
    if size > count:
        left = f" that dataset.holdout={holdout} leaves" if holdout else ""
        raise DataError(f"dataset.{key}={size} is more than the {count} frames{left} of {folder}")
    return np.arange(size) * count // size
