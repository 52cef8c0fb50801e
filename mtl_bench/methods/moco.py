"""Multi-objective gradient correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtl_bench.gradients.gram import gram_matrix
from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.methods.gradient_mean import GradientMean
from mtl_bench.methods.log_losses import nonnegative
from mtl_bench.methods.sdmgrad import project_onto_simplex
from mtl_bench.values import Fraction, NonNegative, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class MoCo(Method):
    """Seeks the smallest combination of averaged gradients, a step of descent at each update.

    Fernando et al., Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent
    Approach, ICLR 2023, Algorithm 1: MGDA on the gradients of single batches is biased, so they are
    averaged, y_t = (1 - b) y_t + b g_t from 0, and the weights descend on the simplex,

        w = projection of w - c (Y + rho I) w    with    Y = (y_s'y_t).

    At step k = 1, 2, ... b is beta / k^decay and c is gamma / k^decay. The shared parameters get
    sum_t w_t y_t, the tasks' own ones their gradients as they are.

    ``libmtl`` is the authors' code in that library: the gradients that are averaged are
    L_t g_t / ||g_t||, and a softmax replaces the projection, which keeps the weights nearly equal.
    The new means are used at once, as in both codes, which do not bound the y_t as the
    paper's analysis does.

    As the means are of earlier steps too, the update is no weighted sum of the step's gradients:
    the weights that are reported are the factors of these in it. A task without labels keeps its
    mean, and the tasks with labels share what they had of w. It keeps a copy of the Jacobian, T
    times the shared parameters.

    Args:
        num_tasks: T.
        seed: not used.
        variant: paper or LibMTL.
        beta: how fast the means move.
        gamma: how fast the weights move.
        decay: how fast both slow down.
        rho: pull of the weights to equal ones.

    Example:
        >>> import torch
        >>> from mtl_bench import MoCo, TaskGradients
        >>> theta = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> method = MoCo(2, beta=1.0, gamma=0.1)
        >>> info = method.step(TaskGradients([theta[0], 3 * theta[1]], [theta]))
        >>> theta.grad  # w is (1/2, 1/2) - 0.1 (1/2, 9/2), and what is missing to 1
        tensor([0.7000, 0.9000])
    """

    needs: ClassVar[Needs] = "grads"

    simplex_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        seed: int = 0,
        variant: Literal["paper", "libmtl"] = "paper",
        beta: Fraction = 0.5,
        gamma: Positive = 0.1,
        decay: NonNegative = 0.5,
        rho: NonNegative = 0.0,
    ) -> None:
        super().__init__(num_tasks, head_weighting="unweighted", seed=seed)
        self.variant, self.rho = variant, rho
        self.beta, self.gamma, self.decay = beta, gamma, decay
        self.mean = GradientMean(num_tasks)
        start_T = torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64)
        self.register_buffer("simplex_T", start_T)

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: under ``libmtl``."""
        return self.variant == "libmtl"

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Move means and weights and write the gradients of every parameter.

        Raises:
            NonFiniteError: a loss or a gradient is not finite; the means stay as they are.
        """
        squares_T = torch.from_numpy(self.finite_gram(gradients.gram())).diagonal().clamp(min=0)
        factors_T = torch.ones_like(squares_T)
        if self.variant == "libmtl":
            losses_T = nonnegative(self, gradients.losses_T)
            factors_T = torch.where(squares_T > 0, losses_T / squares_T.sqrt(), 0.0)
        slower = (self.mean.steps + 1) ** self.decay
        moved = self.beta / slower
        mean_SP = self.mean.move(gradients, factors_T, 1 - moved, self.present)
        w_T = self._descend(gram_matrix(mean_SP).cpu().numpy(), self.gamma / slower)
        gradients.apply_vector(w_T.to(mean_SP) @ mean_SP)
        return StepInfo(moved * factors_T * w_T)

    def _descend(self, gram_SS: np.ndarray, rate: float) -> Tensor:
        """Move the weights of the tasks that take part, and return them, (S,)."""
        before_S = self.of_present(self.simplex_T).numpy()
        share = before_S.sum()
        w_S = before_S / share if share > 0 else np.full(len(before_S), 1 / len(before_S))
        point_S = w_S - rate * (gram_SS @ w_S + self.rho * w_S)
        if self.variant == "paper":
            w_S = project_onto_simplex(point_S)
        else:
            w_S = torch.softmax(torch.from_numpy(point_S), dim=0).numpy()
        w_T = torch.from_numpy(w_S)
        self.simplex_T[self.active] = share * w_T
        return w_T
