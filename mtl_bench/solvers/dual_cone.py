"""Projections onto the cone of directions that oppose no task gradient."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.solution import CERTIFIED, Array, Solution

TOLERANCE = 1e-12
"""How far a cosine of the projection may be below zero, relative to the gradient projected."""


def project_onto_dual_cone(gram_TT: Array) -> Solution:
    """Return the sum of the gradients, each projected onto {d: g_t'd >= 0 for all t}, in weights.

    The projection of g_i is g_i + sum_t v_t g_t with the v >= 0 that minimises its norm (Quinton &
    Rey 2024, Eq. 5). In x_t = v_t ||g_t|| / ||g_i|| this is minimising 1/2 x'Cx + c_i'x over
    x >= 0, with C the cosines and c_i their row i: norms do not matter. Lawson and Hanson's active
    set solves it exactly but for rounding.

    The residual is the largest violation, over all projections, of Cx + c_i >= 0 and of
    x_t (Cx + c_i)_t = 0, relative to 1 + sum_t x_t. A residual above 1e-6 counts as a fallback. A
    gradient of zero keeps weight 1 and is no constraint.

    Args:
        gram_TT: K, positive semi-definite up to rounding.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import project_onto_dual_cone
        >>> project_onto_dual_cone(np.array([[4.0, -1.0], [-1.0, 1.0]])).weights_T
        array([1.25, 2.  ])
    """
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    present = norms_T > 0
    norms_S = norms_T[present]
    cosines_SS = gram_TT[np.ix_(present, present)] / norms_S[:, None] / norms_S
    weights_S = np.ones(len(norms_S))
    solved, residual = 0, 0.0
    for row_S, norm in zip(cosines_SS, norms_S, strict=True):
        x_S, systems = _nonnegative_minimum(cosines_SS, row_S)
        weights_S += x_S * (norm / norms_S)
        slope_S = (cosines_SS @ x_S + row_S) / (1 + x_S.sum())
        residual = max(
            residual, float(-slope_S.min()), float(np.abs(slope_S[x_S > 0]).max(initial=0))
        )
        solved += systems
    weights_T = np.ones(len(gram_TT))
    weights_T[present] = weights_S
    return Solution(weights_T, solved, residual, residual > CERTIFIED)


def _nonnegative_minimum(matrix_SS: Array, linear_S: Array) -> tuple[Array, int]:
    """Minimise 1/2 x'Cx + b'x over x >= 0; return x and how many systems were solved."""
    size = len(linear_S)
    x_S = np.zeros(size)
    free = np.zeros(size, dtype=bool)
    solved = 0
    while solved <= 3 * size:  # rounding can make degenerate supports repeat for ever
        slope_S = np.where(free, 0.0, matrix_SS @ x_S + linear_S)
        entering = int(slope_S.argmin())
        if slope_S[entering] >= -TOLERANCE * (1 + x_S.sum()):
            break
        free[entering] = True
        while True:
            solved += 1
            target_S = np.zeros(size)
            target_S[free] = _solve(matrix_SS[np.ix_(free, free)], -linear_S[free])
            falling = free & (target_S <= 0)
            if not falling.any():
                x_S = target_S
                break
            steps = x_S[falling] / (x_S[falling] - target_S[falling])
            x_S = np.maximum(x_S + steps.min() * (target_S - x_S), 0.0)
            x_S[np.flatnonzero(falling)[steps.argmin()]] = 0.0
            free &= x_S > 0
    return x_S, solved


def _solve(matrix_SS: Array, right_S: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrix_SS, right_S))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix_SS, right_S)[0])
