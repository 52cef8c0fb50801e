"""Linear scalarisation."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.methods.base import Method


class LS(Method):
    """Minimises the sum of the task losses: w_t = 1, so that the weights sum to T.

    The baseline of every multi-task paper, also called equal weighting.

    Example:
        >>> import torch
        >>> from mtl_bench import LS
        >>> LS(2).weights(torch.tensor([0.5, 2.0]))
        tensor([1., 1.])
    """

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: never."""
        return False

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return ones, (T,)."""
        return torch.ones_like(losses_T)
