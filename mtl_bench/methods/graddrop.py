"""Gradient sign dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.values import PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients

BLOCK = 1 << 20
"""Scalars of the Jacobian that are worked on at once."""


class GradDrop(Method):
    """Picks one sign for every parameter and sums the gradients that have it.

    Chen et al., Just Pick a Sign, NeurIPS 2020, Algorithm 1 with f(P) = P and no leak. For each
    parameter P = 1/2 (1 + sum_t g_t / sum_t |g_t|) and U ~ U(0, 1): positive gradients stay if
    P > U, negative ones if P < U.

    This is the version on parameters, the one in the codes of CAGrad and FAMO; paper and official
    code mask gradients of the shared activation, summed over the batch. Those codes add 1e-8 to the
    denominator, which matters for tiny gradients and is left out here. They take the mean times T,
    hence the sum. The tasks' own parameters get their gradients as they are.

    Masked elementwise, the update is no weighted sum of the task gradients; the weights that are
    reported are ones.

    Args:
        num_tasks: T.
        seed: of U.

    Example:
        >>> import torch
        >>> from mtl_bench import GradDrop
        >>> grads_TP = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
        >>> GradDrop(2, seed=0).aggregate(grads_TP)[0]  # both are positive
        tensor(4.)
    """

    needs: ClassVar[Needs] = "grads"

    def __init__(self, num_tasks: PositiveInt, *, seed: int = 0) -> None:
        super().__init__(num_tasks, head_weighting="unweighted", seed=seed)

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Write the gradients of every parameter.

        Raises:
            NonFiniteError: a gradient is not finite.
        """
        grads_TP = gradients.jacobian()
        self.finite(grads_TP.sum(dim=1), "the gradient")
        gradients.apply_vector(self.aggregate(grads_TP))
        return StepInfo(self.weights(gradients.losses_T))

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the ones that are reported, (T,): no weights describe the masked update.

        Args:
            losses_T: not used.
            gram_TT: not used.
        """
        return torch.ones(len(losses_T), dtype=torch.float64)

    def aggregate(self, grads_TP: Tensor) -> Tensor:
        """Return the (P,) masked sum of the (T, P) gradients.

        U is drawn where the gradients are, by a generator seeded from ``self.generator``.
        """
        seed = torch.randint(2**62, (), generator=self.generator).item()
        generator = torch.Generator(grads_TP.device).manual_seed(int(seed))
        parts = []
        for block_TB in grads_TP.split(-(-BLOCK // len(grads_TP)), dim=1):
            positive_B = block_TB.clamp(min=0).sum(dim=0)
            negative_B = block_TB.clamp(max=0).sum(dim=0)
            uniform_B = torch.rand(
                positive_B.shape, generator=generator, device=grads_TP.device, dtype=grads_TP.dtype
            )
            # P > U without a division: P is the positive share of sum |g|
            keep_B = positive_B > uniform_B * (positive_B - negative_B)
            parts.append(torch.where(keep_B, positive_B, negative_B))
        return torch.cat(parts)
