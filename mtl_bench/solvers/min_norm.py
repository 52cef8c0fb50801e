"""The point of smallest norm in the convex hull of the task gradients."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.active_set import SimplexProblem
from mtl_bench.solvers.solution import CERTIFIED, Array, Solution


def solve_min_norm(gram_TT: Array) -> Solution:
    """Return argmin over the simplex of 1/2 w'Kw, exactly but for rounding.

    The optimality condition is g_t'p >= ||p||^2 for every task t, with p = sum_t w_t g_t. The
    residual is its largest violation relative to (||g_t|| + n) n, where n = sum_t w_t ||g_t||: it
    does not depend on how far the norms of the gradients lie apart, and 1/2 ||p||^2 exceeds the
    minimum by at most residual n (n + n*). An answer whose residual is above 1e-6 counts as a
    fallback. Where the minimiser is not unique, any is returned; if every gradient is zero, the
    uniform weights, as a fallback.

    Args:
        gram_TT: K, positive semi-definite up to rounding.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import solve_min_norm
        >>> solve_min_norm(np.array([[4.0, 0.0], [0.0, 1.0]])).weights_T.round(3)
        array([0.2, 0.8])
    """
    if gram_TT.diagonal().max() <= 0:
        return Solution(np.full(len(gram_TT), 1 / len(gram_TT)), 0, 0.0, True)
    problem = _MinNorm(gram_TT)
    weights_T, residual = problem.solve(int(gram_TT.diagonal().argmin()))
    return Solution(weights_T, problem.solved, residual, residual > CERTIFIED)


class _MinNorm(SimplexProblem):
    """The function 1/2 w'Kw."""

    def gradient(self, x_T: Array) -> tuple[Array, float]:
        return self.gram_TT @ x_T, float(self.norms_T @ np.abs(x_T))
