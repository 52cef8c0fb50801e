"""Impartial multi-task learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.methods.learned import LOG_RESOLUTION, LearnedVector
from mtl_bench.solvers.solution import CERTIFIED, Array, Solution
from mtl_bench.values import HeadWeighting, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients

CUTOFF = 1e-12
"""Singular values, relative to the largest, that count as zero."""


class IMTL(Method):
    """Combines the gradients so that the sum has the same projection onto each of them.

    Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, Eq. 6: with u_t = g_t / ||g_t||,
    find weights that sum to 1 with u_t'G equal for all t. They may be negative.

    ``gradient`` is IMTL-G alone, what the Nash-MTL and Aligned-MTL codes run. ``hybrid`` first
    balances the losses (IMTL-L): it learns s_t, minimising exp(s_t) L_t - s_t, and combines the
    gradients of the scaled losses, so that the weights of the g_t are exp(s_t) times numbers that
    sum to 1; tasks' own gradients are multiplied by the weight or, unweighted, by exp(s_t) as in
    LibMTL. The s_t have an Adam of their own, whose rate no schedule lowers, and end at 31.9, where
    the s_t of a loss of exactly 0 would rise for ever.

    The codes invert a (T-1) x (T-1) matrix of gradient differences, and add 1e-8 to it when that
    fails; here one least-squares problem in the cosines gives the same weights, and those of
    smallest norm where several serve. Where gradients are dependent, as they are at a
    Pareto-stationary point, it can be that nothing but an update of zero has equal projections: the
    weights are then those of such an update. A task with zero gradient gets 1/T, the others share
    the rest. Both count as fallbacks, as do projections that are not equal.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        variant: G alone, or L and G.
        learning_rate: of the s_t; not used by ``gradient``.

    Example:
        >>> import torch
        >>> from mtl_bench import IMTL
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> IMTL(2).weights(torch.ones(2), gram_TT)
        tensor([0.3333, 0.6667], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        variant: Literal["gradient", "hybrid"] = "gradient",
        learning_rate: Positive = 1e-3,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        hybrid = variant == "hybrid"
        self.log_scales = (
            LearnedVector(num_tasks, 0.0, learning_rate, highest=-LOG_RESOLUTION)
            if hybrid
            else None
        )

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: under ``hybrid``."""
        return self.log_scales is not None

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose the weights and write the gradients of every parameter."""
        scales_T = self._scales()
        weights_T = self.weights(gradients.losses_T, gradients.gram())
        heads_T = weights_T if self.head_weighting == "weighted" else scales_T
        gradients.apply(weights_T, heads_T)
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights of the gradients, (T,), and under ``hybrid`` move the scales.

        Raises:
            NonFiniteError: an entry of the Gram matrix, or a loss under ``hybrid``, is not finite.
        """
        assert gram_TT is not None
        gram_TT = torch.from_numpy(self.finite_gram(gram_TT))
        scales_T = self._scales()
        scaled_TT = gram_TT * scales_T[:, None] * scales_T
        weights_T = scales_T * self.answer(equal_projections(scaled_TT.numpy()))
        if self.log_scales is not None:
            losses_T = torch.from_numpy(self.finite(losses_T, "the loss"))
            self.log_scales.descend(scales_T * losses_T - 1, self.present)
        return weights_T

    def _scales(self) -> Tensor:
        if self.log_scales is None:
            return self.of_present(torch.ones(self.num_tasks, dtype=torch.float64))
        return self.of_present(self.log_scales.now()).exp()


def equal_projections(gram_TT: Array) -> Solution:
    """Return a with sum 1 and (Ka)_t / ||g_t|| equal for all t.

    In x_t = a_t ||g_t|| this reads C x = p 1 with C the cosines and p the common projection. The
    residual is the largest violation of either equation. The answer is a fallback above 1e-6, if a
    gradient is zero, or if p is zero within the precision of gradients, up to T times float32's
    epsilon times sum_t |x_t|.
    """
    num_tasks = len(gram_TT)
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    present = norms_T > 0
    weights_T = np.full(num_tasks, 1 / num_tasks)
    if not present.any():
        return Solution(weights_T, 0, 0.0, True)
    norms_S = norms_T[present]
    cosines_SS = gram_TT[np.ix_(present, present)] / norms_S[:, None] / norms_S
    size = len(norms_S)
    system = np.zeros((size + 1, size + 1))
    system[:size, :size] = cosines_SS
    system[:size, size] = -1.0
    system[size, :size] = norms_S.min() / norms_S
    right = np.zeros(size + 1)
    right[size] = 1.0
    solution = np.linalg.lstsq(system, right, rcond=CUTOFF)[0]
    residual = float(np.abs(system @ solution - right).max())
    share_S = solution[:size] * norms_S.min() / norms_S
    weights_T[present] = share_S / share_S.sum() * (size / num_tasks)
    precision = size * np.finfo(np.float32).eps * np.abs(solution[:size]).sum()
    stands = abs(solution[size]) <= precision
    fallback = residual > CERTIFIED or stands or size < num_tasks
    return Solution(weights_T, 1, residual, bool(fallback))
