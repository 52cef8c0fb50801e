"""Errors of regressed values: molecular targets, depth, instance offsets, disparity."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.metrics.averages import Average, Means


class MeanAbsoluteError:
    """Mean of |prediction - target| over all values, times ``scale``.

    Args:
        scale: unit of one standardised step, so that the result is in the reported unit.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import MeanAbsoluteError
        >>> metric = MeanAbsoluteError(scale=27.0)
        >>> metric.update(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.0]))
        >>> metric.update(torch.tensor([0.0]), torch.tensor([0.0]))
        >>> metric.compute()
        {'mae': 4.5}
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.means = Means()

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch of equal shapes."""
        everywhere = torch.ones_like(target, dtype=torch.bool)
        self.means.add([(prediction - target).abs()], everywhere)

    def compute(self) -> dict[str, float]:
        """Return {"mae": value}."""
        return {"mae": self.scale * self.means.compute()[0]}


class DepthErrors:
    """Absolute and relative error of depth over the pixels whose true depth is not 0.

    Args:
        average: ``batch`` as MTAN and Nash-MTL report them, ``pixel`` as Aligned-MTL does.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import DepthErrors
        >>> metric = DepthErrors("pixel")
        >>> metric.update(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[2.0, 0.0]]]]))
        >>> metric.compute()
        {'abs_err': 1.0, 'rel_err': 0.5}
    """

    def __init__(self, average: Average) -> None:
        self.means = Means(average)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch, (B, 1, H, W) both, in metres."""
        errors = (prediction - target).abs()
        self.means.add([errors, errors / target], target != 0)

    def compute(self) -> dict[str, float]:
        """Return ``abs_err`` = mean |d̂ - d| in metres and ``rel_err`` = mean |d̂ - d| / d."""
        return dict(zip(("abs_err", "rel_err"), self.means.compute(), strict=True))


class InstanceError:
    """L1 error of the offsets to the instance's centre, in whole pixels, after Aligned-MTL.

    Both offsets are truncated toward zero before they are compared; every valid y and every valid
    x counts one in the denominator.

    Args:
        invalid: target value that marks an entry without an instance. What truncates to it is left
            out too, here but not in the loss, as in Aligned-MTL's code.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import InstanceError
        >>> metric = InstanceError(invalid=255)
        >>> metric.update(torch.tensor([[[[3.9]], [[7.0]]]]), torch.tensor([[[[1.2]], [[255.0]]]]))
        >>> metric.compute()
        {'inst_l1_px': 2.0}
    """

    def __init__(self, invalid: int) -> None:
        self.invalid = invalid
        self.means = Means()

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch, (B, 2, H, W) both, in full-resolution pixels."""
        whole = target.trunc()
        self.means.add([(prediction.trunc() - whole).abs()], whole != self.invalid)

    def compute(self) -> dict[str, float]:
        """Return {"inst_l1_px": value in pixels}."""
        return {"inst_l1_px": self.means.compute()[0]}


class DisparityError:
    """Mean squared error of the normalised disparity over the pixels whose target is not 0.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import DisparityError
        >>> metric = DisparityError()
        >>> metric.update(torch.tensor([[[[1.5, 9.0]]]]), torch.tensor([[[[1.0, 0.0]]]]))
        >>> metric.compute()
        {'disparity_mse': 0.25}
    """

    def __init__(self) -> None:
        self.means = Means()

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch, (B, 1, H, W) both."""
        self.means.add([(prediction - target).square()], target != 0)

    def compute(self) -> dict[str, float]:
        """Return {"disparity_mse": value in the target's unit squared}."""
        return {"disparity_mse": self.means.compute()[0]}
