"""Fast adaptive multitask optimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtl_bench.methods.base import Method, present_in
from mtl_bench.methods.learned import LearnedVector
from mtl_bench.methods.log_losses import log_losses, shares
from mtl_bench.values import HeadWeighting, NonNegative, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class FAMO(Method):
    """Decreases all losses at the same rate with the cost of one backward pass.

    Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, Algorithm 1: with
    z = softmax(xi), w_t = c z_t / L_t and c = (sum_t z_t / L_t)^-1, so that the weights sum to 1.
    After the update the losses of the same batch are computed again, and Adam moves the logits xi
    along the gradient of sum_t z_t (log L_t before - log L_t after): a task that fell by more than
    the others gets less.

    The official code adds 1e-8 to the losses and clips the norm of the shared gradient at 1; for
    the latter, of all parameters, see ``trainer.clip_norm``. Its class decays the logits by 0.01,
    the paper's Algorithm 2 by 0.001. Here a loss of exactly 0 has weight 0 and moves no logit. A
    lower bound of the losses other than 0 can't be set.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        learning_rate: of the logits.
        weight_decay: of the logits, as the Adam of torch has it.

    Example:
        >>> import torch
        >>> FAMO(2).weights(torch.tensor([1.0, 3.0])).tolist()
        [0.75, 0.25]
    """

    looks_again = True

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        learning_rate: Positive = 0.025,
        weight_decay: NonNegative = 1e-3,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.logits = LearnedVector(num_tasks, 0.0, learning_rate, weight_decay=weight_decay)
        self._before_T = torch.zeros(num_tasks)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights, (T,).

        Raises:
            NonFiniteError: a loss is negative or not finite.
        """
        self._before_T = log_losses(self, losses_T)
        logits_T = self.of_present(self.logits.now())
        return shares(
            torch.where(self._before_T > -torch.inf, logits_T - self._before_T, -torch.inf)
        )

    def after_update(self, gradients: TaskGradients) -> dict[str, float]:
        """Move the logits by what the update did to the losses.

        Raises:
            NonFiniteError: a loss is negative or not finite now; the logits stay as they are.
        """
        self.present = present_in(gradients, self.num_tasks)
        try:
            drops_T = self._before_T - log_losses(self, gradients.losses_T)
            drops_T = torch.where(drops_T.isfinite(), drops_T, 0.0)
            shares_T = torch.softmax(self.of_present(self.logits.now()), dim=0)
            self.logits.descend(shares_T * (drops_T - shares_T @ drops_T), self.present)
        finally:
            self.present = None
        return {}

    def get_extra_state(self) -> dict[str, Any]:
        """Return the losses of an update that has yet to be looked at, besides the base's state."""
        before = {"before": self._before_T} if self.awaits_update else {}
        return super().get_extra_state() | before

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self._before_T = state.get("before", self._before_T)
