"""Angles between predicted and true surface normals."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.metrics.averages import Average, HistogramMedian, MeanOfMedians, Means

THRESHOLDS = {"within_11_25": 11.25, "within_22_5": 22.5, "within_30": 30.0}
"""Metric name -> degrees that the angle must stay below."""

BINS_PER_DEGREE = 1024
"""Of the median over all pixels, which is thereby within 1/2048 (0.0005) degrees of the exact one.
"""


def angular_errors(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angles in degrees, float64 (B, H, W), and which of them are valid.

    The angle is acos of the dot product clamped to [-1, 1], as in every published code: neither
    vector is normalised here. Rounding unit vectors to float32 alone can turn an angle of 0 into
    0.03 degrees. The angle of a prediction that is not finite is NaN.

    Args:
        prediction: unit vectors, (B, 3, H, W).
        target: unit vectors, or the zero vector where there is none, (B, 3, H, W). The published
            codes also leave out normals whose components add up to exactly 0.
    """
    cosine = (prediction.double() * target.double()).sum(dim=1)
    cosine = cosine.masked_fill(cosine.isinf(), torch.nan)  # clamped it would pass for an angle
    return cosine.clamp(-1, 1).acos().rad2deg(), (target != 0).any(dim=1)


class AngleErrors:
    """Mean and median angle, and the shares of pixels below three thresholds.

    Args:
        average: ``batch`` as MTAN and Nash-MTL report them, so that the median is a mean of the
            batches' medians; ``pixel`` as Aligned-MTL does, see `BINS_PER_DEGREE` for the median.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import AngleErrors
        >>> up, right = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> metric = AngleErrors("batch")
        >>> metric.update(up.view(1, 3, 1, 1), up.view(1, 3, 1, 1))
        >>> metric.update(up.view(1, 3, 1, 1), right.view(1, 3, 1, 1))
        >>> metrics = metric.compute()
        >>> round(metrics["angle_mean"], 3), metrics["within_30"]
        (45.0, 50.0)
    """

    def __init__(self, average: Average) -> None:
        self.means = Means(average)
        self.median: HistogramMedian | MeanOfMedians = (
            MeanOfMedians() if average == "batch" else HistogramMedian(BINS_PER_DEGREE, 180)
        )

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch, (B, 3, H, W) both."""
        angles, valid = angular_errors(prediction, target)
        self.means.add([angles, *(angles < limit for limit in THRESHOLDS.values())], valid)
        self.median.add(angles, valid)

    def compute(self) -> dict[str, float]:
        """Return ``angle_mean`` and ``angle_median`` in degrees, the ``within_`` in percent."""
        mean, *shares = self.means.compute()
        within = {name: 100 * share for name, share in zip(THRESHOLDS, shares, strict=True)}
        return {"angle_mean": mean, "angle_median": self.median.compute(), **within}
