"""Conflict-averse gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers import solve_cagrad
from mtl_bench.values import HeadWeighting, NonNegative, PositiveInt


class CAGrad(Method):
    """Improves the worst task as far as possible within a ball around the mean gradient.

    Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021, Eq. 3-5: with g_0 the mean gradient,
    d = g_0 + c ||g_0|| g_w / ||g_w||, where g_w = sum_t w_t g_t minimises
    g_w'g_0 + c ||g_0|| ||g_w|| over the simplex. The weights are those of d,
    1/T + c ||g_0|| / ||g_w|| w_t, times T under ``scale`` "tasks" (CAGrad's and Nash-MTL's code),
    divided by 1 (``rescale`` 0), 1 + c^2 (1) or 1 + c (2). They have no fixed sum.

    The codes call SLSQP and add 1e-8 to squared norms whatever the gradients' scale; here an
    active-set method reaches a duality gap of 1e-12, and what is added, 1e-10 ||g_0||^2, follows
    the scale (``solvers.cagrad``). The codes leave the tasks' own gradients unweighted, hence the
    default.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        c: radius of the ball relative to ||g_0||.
        rescale: which divisor.
        scale: whether the update is about the mean ("one") or the sum ("tasks") of the gradients.

    Example:
        >>> import torch
        >>> from mtl_bench import CAGrad
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> CAGrad(2, c=0.4).weights(torch.ones(2), gram_TT)
        tensor([0.8621, 1.4593], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "unweighted",
        seed: int = 0,
        c: NonNegative = 0.4,
        rescale: Literal[0, 1, 2] = 1,
        scale: Literal["one", "tasks"] = "tasks",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.c = c
        self.scale = scale
        self.divisor = (1, 1 + c**2, 1 + c)[rescale]

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights of d, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        factor = (len(gram_TT) if self.scale == "tasks" else 1) / self.divisor
        return factor * self.answer(solve_cagrad(self.finite_gram(gram_TT), self.c))
