"""Sums, counts and medians of masked values that grow by batches and stay on their device.

Nothing here selects values by a mask, because the size of such a selection is known only after the
device has caught up, nor calls ``torch.where`` with a number, which is copied to a GPU first.
Masked-out values may be anything, NaN included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mtl_bench.errors import DataError

Average = Literal["batch", "pixel"]
"""``pixel``: over all valid pixels of the set. ``batch``: the value of every batch, then their mean
over the batches that have a valid pixel."""


def no_valid_target() -> DataError:
    """Return the error of a set that leaves a metric nothing to average."""
    return DataError("no target of the evaluated set is valid: check the labels and their masks")


def count_values(indices: Tensor, valid: Tensor, size: int) -> Tensor:
    """Return how often each of 0 .. size - 1 occurs among the valid indices, (size,) int64.

    ``torch.bincount`` does the same, but waits for a GPU to learn the largest index.

    Args:
        indices: int64 of any shape, all within range, the invalid ones too.
        valid: bool of the same shape.
        size: how many different values there are.
    """
    counts = torch.zeros(size, dtype=torch.int64, device=indices.device)
    return counts.scatter_add_(0, indices.flatten(), valid.flatten().long())


class Means:
    """Means of K quantities over their valid values, accumulated in float64.

    Args:
        average: over all values alike, or over the batches' means.
    """

    def __init__(self, average: Average = "pixel") -> None:
        self.average = average
        self.sums_K: Tensor | float = 0.0
        self.weight: Tensor | int = 0

    def add(self, values: Sequence[Tensor], valid: Tensor) -> None:
        """Take in one batch: K tensors of the shape of ``valid``, which is bool."""
        sums_K = torch.stack([v.masked_fill(~valid, 0).sum(dtype=torch.float64) for v in values])
        weight = valid.sum()
        if self.average == "batch":
            sums_K, weight = sums_K / weight.clamp(min=1), (weight > 0).long()
        self.sums_K = self.sums_K + sums_K
        self.weight = self.weight + weight

    def compute(self) -> list[float]:
        """Return the K means.

        Raises:
            DataError: there was no valid value.
        """
        weight = int(self.weight)
        if weight == 0:
            raise no_valid_target()
        means: list[float] = (torch.as_tensor(self.sums_K) / weight).tolist()
        return means


class MeanOfMedians:
    """The median of every batch's valid values, averaged over the batches that have any.

    As NumPy has it: with an even number of values, the mean of the two in the middle.
    """

    def __init__(self) -> None:
        self.medians = Means()

    def add(self, values: Tensor, valid: Tensor) -> None:
        """Take in one batch of values and their validity, of equal shapes."""
        ordered = values.masked_fill(~valid, torch.inf).flatten().sort().values
        count = valid.sum()
        middle = torch.stack([(count - 1) // 2, count // 2]).clamp(min=0)
        self.medians.add([ordered[middle].mean()], count > 0)

    def compute(self) -> float:
        """Return the mean of the medians."""
        return self.medians.compute()[0]


class HistogramMedian:
    """The median of all valid values, known to within half a bin.

    It keeps a histogram in place of the values. Each of the two values in the middle (one, if
    their number is odd) counts as the centre of its bin, so that the result is no further than
    half a bin from the exact median, whatever the distribution.

    Args:
        bins_per_unit: bins in an interval of length 1. For a power of two every bin edge is a
            floating-point number, and the bound holds to the last bit.
        upper: values lie within [0, upper].
    """

    def __init__(self, bins_per_unit: int, upper: int) -> None:
        self.bins_per_unit = bins_per_unit
        self.bins = bins_per_unit * upper
        self.counts: Tensor | int = 0

    def add(self, values: Tensor, valid: Tensor) -> None:
        """Take in one batch of values and their validity, of equal shapes."""
        # clamped as integers: NaN at an invalid place becomes some integer
        bins = (values * self.bins_per_unit).long().clamp(0, self.bins - 1)
        self.counts = self.counts + count_values(bins, valid, self.bins)

    def compute(self) -> float:
        """Return the median.

        Raises:
            DataError: there was no valid value.
        """
        cumulated = torch.as_tensor(self.counts).cpu().reshape(-1).cumsum(0)
        count = int(cumulated[-1])
        if count == 0:
            raise no_valid_target()
        ranks = torch.tensor([(count - 1) // 2, count // 2])
        bins = torch.searchsorted(cumulated, ranks, right=True)
        return (bins.double().mean().item() + 0.5) / self.bins_per_unit
