"""The dual problem of CAGrad."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.active_set import Move, first_support, minimize_on_simplex
from mtl_bench.solvers.min_norm import solve_raised
from mtl_bench.solvers.solution import Array, Solution

SMOOTHING = 1e-10
"""What is added to w'Kw under the root, relative to the squared norm of the mean gradient."""

CANCELLED = 1e-14
"""Squared norm of the mean gradient, relative to that of the gradients, that counts as zero."""


def solve_cagrad(gram_TT: Array, c: float) -> Solution:
    """Return the combination of gradients that CAGrad moves along, in weights.

    With b = K 1/T and r = c ||mean gradient||, minimise over the simplex

        F(w) = b'w + r sqrt(w'Kw + e),    e = 1e-10 ||mean gradient||^2

    and answer with 1/T + r / sqrt(w'Kw + e) w, the weights of d (Liu et al. 2021, Eq. 4-5). On the
    affine hull of a support F has its minimum in closed form: there w = p + s/r q, with p the point
    of smallest norm, q the direction that stationarity fixes, and s = sqrt(w'Kw + e) the root of
    s^2 = A + C s^2 / r^2. Without a root F falls for ever along q.

    The residual is the duality gap of F, relative to (1 + c) ||g|| ||mean gradient|| with g the
    largest gradient involved. If the gradients cancel (or c = 0) the answer is 1/T, which is exact;
    only for gradients that are all zero or cancel does it count as a fallback.

    Args:
        gram_TT: K, positive semi-definite up to rounding; negative eigenvalues are cut off.
        c: radius of the ball around the mean gradient, relative to its norm.
    """
    num_tasks = len(gram_TT)
    uniform_T = np.full(num_tasks, 1 / num_tasks)
    largest = gram_TT.diagonal().max()
    mean_square = gram_TT.mean()
    if mean_square <= CANCELLED * largest or c == 0:
        return Solution(uniform_T, 0, 0.0, c != 0)
    values_T, vectors_TT = np.linalg.eigh(gram_TT / mean_square)
    root_TT = vectors_TT * np.sqrt(np.maximum(values_T, 0.0))
    gram_TT = root_TT @ root_TT.T
    slope_T = gram_TT @ uniform_T
    norms_T = np.sqrt(gram_TT.diagonal())

    def length(weights_T: Array) -> float:
        return float(np.sqrt(weights_T @ gram_TT @ weights_T + SMOOTHING))

    def gradient(weights_T: Array) -> Array:
        return slope_T + (c / length(weights_T)) * (gram_TT @ weights_T)

    def move(support: list[int]) -> Move:
        gram_SS = gram_TT[support][:, support]
        slope_S = slope_T[support]
        right_S2 = np.stack([np.ones(len(support)), slope_S], axis=1)
        ones_S, slopes_S = solve_raised(gram_SS, right_S2).T
        nearest_S = ones_S / ones_S.sum()
        direction_S = slopes_S.sum() * nearest_S - slopes_S
        fall = float(direction_S @ gram_SS @ direction_S) / c**2
        if fall >= 1 - 1e-12:
            return Move(direction_S, True)
        square = max(float(nearest_S @ gram_SS @ nearest_S), 0.0) + SMOOTHING
        return Move(nearest_S + np.sqrt(square / (1 - fall)) / c * direction_S, False)

    start = first_support(gram_TT, int(gradient(uniform_T).argmin()))
    solution = minimize_on_simplex(start, gradient, move, (1 + c) * norms_T)
    weights_T = uniform_T + c / length(solution.weights_T) * solution.weights_T
    return solution._replace(weights_T=weights_T)
