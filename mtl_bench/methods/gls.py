"""The geometric loss strategy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_bench.methods.base import Method
from mtl_bench.methods.log_losses import log_losses
from mtl_bench.values import HeadWeighting, PositiveInt


class GLS(Method):
    """Minimises the geometric mean of the losses, so that their scales do not matter.

    Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for
    Multi-Task Learning, CVPR Workshops 2019: (L_1 ... L_T)^(1/T), hence
    w_t = (L_1 ... L_T)^(1/T) / (T L_t). ``log`` minimises the sum of the logarithms instead, which
    has the same minima: w_t = 1 / L_t. The weights have no fixed sum.

    LibMTL multiplies the losses before it takes the root, which over- or underflows where there are
    many tasks; here the mean of the logarithms is taken. A loss of exactly 0 would make the product
    0 and stop all tasks: such a task has weight 0, and the mean is over the others.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        variant: the geometric mean or the sum of the logarithms.

    Example:
        >>> import torch
        >>> GLS(2).weights(torch.tensor([1.0, 4.0])).tolist()
        [1.0, 0.25]
    """

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        variant: Literal["geometric", "log"] = "geometric",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.variant = variant

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the derivatives of the objective by the losses, (T,).

        Raises:
            NonFiniteError: a loss is negative or not finite.
        """
        logs_T = log_losses(self, losses_T)
        counts_T = logs_T > -torch.inf
        if self.variant == "geometric" and counts_T.any():
            there = logs_T[counts_T]
            weights_T = torch.exp(there.mean() - logs_T) / len(there)
        else:
            weights_T = torch.exp(-logs_T)
        return torch.where(counts_T, weights_T, 0.0)
