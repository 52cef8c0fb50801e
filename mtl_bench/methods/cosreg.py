"""The cosine regulariser."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mtl_bench.methods.base import Method, StepInfo
from mtl_bench.values import NonNegative, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class CosReg(Method):
    """Minimises the sum of the losses with a penalty for task gradients that are not orthogonal.

    Suteu and Guo, Regularizing Deep Multi-Task Networks using Orthogonal Gradients, 2019, to which
    PCGrad (Yu et al., NeurIPS 2020) is compared in its section 5.2:

        sum_t L_t + penalty * mean over pairs i < j of cos(g_i, g_j)^2,

    over the shared parameters. Its gradient has second derivatives, which come from a second pass
    backward through the task gradients; the tasks' own parameters are moved by it too. A zero
    gradient has cosine 0 with every other. We take the mean over pairs, so that the penalty means
    the same for any T; its default is ours.

    Args:
        num_tasks: T.
        seed: not used.
        penalty: factor of the mean squared cosine.

    Example:
        >>> import torch
        >>> from mtl_bench import CosReg, TaskGradients
        >>> theta = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> losses = [theta[0].square() / 2, (theta[0] * theta[1])]  # gradients (1, 0) and (1, 1)
        >>> info = CosReg(2, penalty=2.0).step(TaskGradients(losses, [theta]))
        >>> round(info.diagnostics["squared_cosine"], 3), theta.grad
        (0.5, tensor([1., 2.]))
    """

    differentiates_twice: ClassVar[bool] = True

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        seed: int = 0,
        penalty: NonNegative = 1.0,
    ) -> None:
        super().__init__(num_tasks, seed=seed)
        self.penalty = penalty

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: never."""
        return False

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return ones, (T,)."""
        return torch.ones(len(losses_T))

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Write the gradient of losses and penalty."""
        value = gradients.apply_penalized(lambda K: self.penalty * mean_squared_cosine(K))
        assert gradients.known_gram_TT is not None
        self.finite_gram(gradients.known_gram_TT)
        told = {"squared_cosine": value / self.penalty if self.penalty else 0.0}
        return StepInfo(self.weights(gradients.losses_T), told)


def mean_squared_cosine(gram_TT: Tensor) -> Tensor:
    """Return the mean over pairs of cos^2, 0 of one task, from a Gram matrix.

    Args:
        gram_TT: K; a task with a zero on the diagonal has cosine 0 with the others.
    """
    squares_T = gram_TT.diagonal()
    present_T = squares_T > 0
    inverse_T = present_T / torch.where(present_T, squares_T, 1.0)
    cosines_TT = gram_TT.square() * inverse_T[:, None] * inverse_T
    pairs = len(gram_TT) * (len(gram_TT) - 1) / 2
    return torch.triu(cosines_TT, diagonal=1).sum() / max(pairs, 1)
