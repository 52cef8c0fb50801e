"""The point of smallest norm in the convex hull of the task gradients."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.active_set import Move, first_support, minimize_on_simplex
from mtl_bench.solvers.solution import Array, Solution


def solve_min_norm(gram_TT: Array) -> Solution:
    """Return argmin over the simplex of 1/2 w'Kw, exactly but for rounding.

    The optimality condition is (Kw)_t >= w'Kw for every task t; the residual is its largest
    violation, relative to the largest squared norm of the tasks involved. Where the minimiser is
    not unique, any is returned; if every gradient is zero, the uniform weights, as a fallback.

    Args:
        gram_TT: K, positive semi-definite up to rounding.
    """
    num_tasks = len(gram_TT)
    squares_T = gram_TT.diagonal()
    if squares_T.max() <= 0:
        return Solution(np.full(num_tasks, 1 / num_tasks), 0, 0.0, True)
    gram_TT = gram_TT / squares_T.max()
    squares_T = gram_TT.diagonal()

    def move(support: list[int]) -> Move:
        return Move(affine_min_norm(gram_TT[support][:, support]), False)

    start = first_support(gram_TT, int(squares_T.argmin()))
    return minimize_on_simplex(start, lambda weights_T: gram_TT @ weights_T, move, squares_T)


def affine_min_norm(gram_SS: Array) -> Array:
    """Return the (S,) weights, summing to 1, of the smallest norm on an affine hull."""
    solution_S = solve_raised(gram_SS, np.ones(len(gram_SS)))
    return np.asarray(solution_S / solution_S.sum())


def solve_raised(gram_SS: Array, right: Array) -> Array:
    """Solve (K + k 11') x = right with k the largest entry of K, by least squares if singular.

    Adding the same number to every entry of K changes nothing where the weights sum to 1, and
    makes the matrix regular whenever the gradients are affinely independent.
    """
    raised_SS = gram_SS + (gram_SS.diagonal().max() or 1.0)
    try:
        return np.asarray(np.linalg.solve(raised_SS, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(raised_SS, right)[0], dtype=np.float64)
