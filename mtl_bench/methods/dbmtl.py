"""Dual balancing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.methods.gradient_mean import GradientMean
from mtl_bench.methods.log_losses import log_losses
from mtl_bench.values import Fraction, NonNegative, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class DBMTL(Method):
    """Balances the losses by their logarithm and the gradients by their length.

    Lin et al., Dual-Balancing for Multi-Task Learning, 2023 (arXiv 2308.12029), Algorithm 1: the
    gradients of log L_t are averaged over the steps k = 1, 2, ...,

        m_t = b m_t + (1 - b) g_t / L_t    with    b = beta / k^decay,

    from 0, and the shared parameters get max_s ||m_s|| sum_t m_t / ||m_t||: every task enters with
    the length of the longest mean. The tasks' own parameters get the gradients of log L_t.

    As the means are of earlier steps too, the update is no weighted sum of the step's gradients:
    the weights that are reported are the factors of these in it. The authors' code, LibMTL's, adds
    1e-8 to the losses and to the lengths. Here a loss of exactly 0 has no gradient, and a mean of 0
    stays out. A task without labels keeps its mean and takes no part.

    It keeps a copy of the Jacobian, T times the shared parameters.

    Args:
        num_tasks: T.
        seed: not used.
        beta: how much of the means is kept; 0 for no means.
        decay: how fast less of them is kept; 0 for always the same.

    Example:
        >>> import torch
        >>> from mtl_bench import DBMTL, TaskGradients
        >>> theta = torch.tensor([2.0, 3.0], requires_grad=True)
        >>> gradients = TaskGradients([theta[0], 100 * theta[1] ** 2], [theta])
        >>> info = DBMTL(2, beta=0.0).step(gradients)
        >>> theta.grad  # those of the logarithms are 1/2 and 2/3
        tensor([0.6667, 0.6667])
    """

    needs: ClassVar[Needs] = "grads"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        seed: int = 0,
        beta: Fraction = 0.9,
        decay: NonNegative = 0.0,
    ) -> None:
        super().__init__(num_tasks, head_weighting="unweighted", seed=seed)
        self.beta, self.decay = beta, decay
        self.mean = GradientMean(num_tasks)

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: always."""
        return True

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Move the means and write the gradients of every parameter.

        Raises:
            NonFiniteError: a loss is negative, or a loss or a gradient is not finite; the means
                stay as they are.
        """
        logs_T = log_losses(self, gradients.losses_T)
        self.finite(gradients.jacobian().sum(dim=1), "the gradient")
        inverses_T = torch.where(logs_T > -torch.inf, torch.exp(-logs_T), 0.0)
        kept = self.beta / (self.mean.steps + 1) ** self.decay
        mean_SP = self.mean.move(gradients, inverses_T, kept, self.present)
        lengths_T = torch.linalg.vector_norm(mean_SP, dim=1).double().cpu()
        scales_T = torch.where(lengths_T > 0, lengths_T.max() / lengths_T, 0.0)
        gradients.apply_vector(scales_T.to(mean_SP) @ mean_SP, inverses_T)
        return StepInfo((1 - kept) * scales_T * inverses_T)
