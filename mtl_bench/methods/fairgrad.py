"""Fair resource allocation among tasks."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers import solve_fair
from mtl_bench.values import HeadWeighting, Positive, PositiveInt


class FairGrad(Method):
    """Maximises the alpha-fair utility of the tasks' gains g_t'd: (Kw)_t = w_t^(-1/alpha).

    Ban & Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024, Eq. 4. alpha 1 is Nash-MTL
    without its clipping; the larger alpha is, the more equal are the gains. The weights are
    positive and have no fixed sum.

    The official code calls SciPy's least_squares on (Kw)_t - w_t^(-1/alpha) from 1/T, whose answer
    depends on the scale of the gradients where it stops early; here Newton's method solves the
    equation to rounding (``solvers.fair``).

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        alpha: which fairness.

    Example:
        >>> import torch
        >>> gram_TT = torch.diag(torch.tensor([1.0, 64.0]))
        >>> w_T = FairGrad(2, alpha=2.0).weights(torch.ones(2), gram_TT)
        >>> [round(w, 4) for w in w_T.tolist()]  # norm^(-4/3)
        [1.0, 0.0625]
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        alpha: Positive = 2.0,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.alpha = alpha

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the alpha-fair weights, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        return self.answer(solve_fair(self.finite_gram(gram_TT), self.alpha))
