"""Accumulating metrics: fed batch by batch, exact over the whole set."""

from __future__ import annotations

import torch
from torch import Tensor


class MeanAbsoluteError:
    """Mean of |prediction - target| over all values, times ``scale``.

    Args:
        scale: unit of one standardised step, so that the result is in the reported unit.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.sum = torch.zeros((), dtype=torch.float64)
        self.count = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch of equal shapes."""
        errors = (prediction - target).abs().sum(dtype=torch.float64)
        self.sum = self.sum.to(errors.device) + errors
        self.count += target.numel()

    def compute(self) -> dict[str, float]:
        """Return {"mae": value}."""
        return {"mae": self.scale * self.sum.item() / self.count}
