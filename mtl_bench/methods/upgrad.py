"""Unconflicting projection of gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers import project_onto_dual_cone
from mtl_bench.values import HeadWeighting, PositiveInt


class UPGrad(Method):
    """Projects each gradient onto the directions that oppose no task, then adds them up.

    Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024, Eq. 4: with pi the
    projection onto the dual cone {d: g_t'd >= 0 for all t}, G = sum_t pi(g_t), times 1/T under
    ``reduction`` "mean". Unlike PCGrad's, the update conflicts with no task however many there are.
    The weights are not negative and have no fixed sum: each is at least 1, or 1/T.

    TorchJD, the official code, scales the Gram matrix by its trace, adds 1e-4 to the diagonal and
    calls quadprog; here an active-set method is exact in the cosines, so that a short gradient is
    as much of a constraint as a long one (``solvers.dual_cone``). TorchJD takes the mean.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        reduction: sum or mean.

    Example:
        >>> import torch
        >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
        >>> UPGrad(2).weights(torch.ones(2), gram_TT).tolist()
        [1.5, 1.5]
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        reduction: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.reduction = reduction

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights of the projected gradients' sum or mean, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        weights_T = self.answer(project_onto_dual_cone(self.finite_gram(gram_TT)))
        return weights_T / len(weights_T) if self.reduction == "mean" else weights_T
