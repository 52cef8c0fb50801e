"""Linear scalarisation."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.methods.base import Method
from mtl_bench.values import HeadWeighting, PositiveInt


class LS(Method):
    """Minimises the sum of the task losses: w_t = 1, so that the weights sum to T.

    The baseline of every multi-task paper, also called equal weighting.

    Args:
        num_tasks: T.
        log_gram: compute the Gram matrix of the task gradients for the step log. The weights don't
            need it, and the update is the same but for rounding.
        head_weighting: see ``Method``.
        seed: see ``Method``.

    Example:
        >>> import torch
        >>> from mtl_bench import LS
        >>> LS(2).weights(torch.tensor([0.5, 2.0]))
        tensor([1., 1.])
    """

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        log_gram: bool = False,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        if log_gram:
            self.needs = "gram"  # type: ignore[misc]

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: never."""
        return False

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return ones, (T,)."""
        return torch.ones_like(losses_T)
