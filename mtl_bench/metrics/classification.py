"""Accuracy and error of classified samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from mtl_bench.metrics.averages import no_valid_target


class ClassificationMetrics:
    """The share of samples whose class is predicted, and that of the others, in percent.

    No class wins for a sample whose largest score is NaN or infinite: with one both are NaN.

    Args:
        reported: which of ``accuracy`` and ``error`` to return.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import ClassificationMetrics
        >>> metric = ClassificationMetrics()
        >>> metric.update(torch.tensor([[0.1, 2.0], [3.0, 1.0]]), torch.tensor([1, 1]))
        >>> metric.compute()
        {'accuracy': 50.0, 'error': 50.0}
    """

    def __init__(self, reported: Sequence[str] = ("accuracy", "error")) -> None:
        self.reported = tuple(reported)
        self.samples = 0
        self.hits: Tensor | int = 0
        self.broken: Tensor | int = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch: scores (B, K), of which the largest wins; int64 classes (B,)."""
        largest, predicted = prediction.max(dim=1)
        self.samples += len(target)
        self.hits = self.hits + (predicted == target).sum()
        self.broken = self.broken + (~largest.isfinite()).sum()

    def compute(self) -> dict[str, float]:
        """Return the reported ones of ``accuracy`` and ``error``, in percent.

        Raises:
            DataError: there was no sample.
        """
        if not self.samples:
            raise no_valid_target()
        accuracy = 100 * int(self.hits) / self.samples if not int(self.broken) else math.nan
        values = {"accuracy": accuracy, "error": 100 - accuracy}
        return {name: values[name] for name in self.reported}
