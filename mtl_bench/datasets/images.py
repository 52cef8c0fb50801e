"""Batches of images with dense targets.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageBatch:
    """Images and the dense targets of their tasks.

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
