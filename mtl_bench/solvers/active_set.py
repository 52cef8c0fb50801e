"""Convex minimisation over the probability simplex by Wolfe's active-set scheme.

Legend of shape suffixes: T tasks, S tasks in the support.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mtl_bench.solvers.solution import Array, Solution

TOLERANCE = 1e-12
"""Relative duality gap at which the search ends."""

CERTIFIED = 1e-6
"""Relative duality gap above which the answer is no solution."""


MARGIN = 1e-4
"""Ratio of pivots, as of gradient norms, above which a Gram matrix counts as regular."""


class Move(NamedTuple):
    """Where the objective is smallest on the affine hull of a support.

    Args:
        vector_S: the minimiser, which sums to 1; or, if there is none, a direction in which the
            objective falls for ever, which sums to 0.
        unbounded: whether it is such a direction.
    """

    vector_S: Array
    unbounded: bool


def minimize_on_simplex(
    start: list[int],
    gradient: Callable[[Array], Array],
    move: Callable[[list[int]], Move],
    scale_T: Array,
) -> Solution:
    """Minimise a convex function of w over w >= 0, sum w = 1.

    Wolfe (1976) gives the scheme for the norm: find the minimum on the affine hull of the support;
    if it lies outside the simplex, stop at the boundary and drop what reached zero; if inside, add
    the task with the smallest gradient, until none is smaller than the average. It needs nothing
    but a closed form on an affine hull, and then works for other functions too.

    Started from many tasks it begins by dropping instead of adding, which is quicker where most
    tasks stay; their gradients must then be affinely independent (see ``first_support``).

    The residual is the duality gap g'w - min_t g_t with g the gradient at w, an upper bound of
    f(w) - min f, divided by the largest ``scale_T`` of the tasks involved.

    Args:
        start: the tasks of the first support.
        gradient: gradient of the function at w.
        move: its minimum on the affine hull of a support.
        scale_T: size of each entry of the gradient as it enters rounding errors.
    """
    num_tasks = len(scale_T)
    weights_T = np.zeros(num_tasks)
    weights_T[start] = 1 / len(start)
    support, iterations = start, 0
    if len(start) > 1:
        weights_T, support, iterations = _descend(weights_T, support, move)
    best_T, best_residual, since_best = weights_T, np.inf, 0
    while (
        since_best <= num_tasks
    ):  # rounding can make degenerate supports follow each other for ever
        gradient_T = gradient(weights_T)
        entering = int(gradient_T.argmin())
        gap = float(gradient_T @ weights_T - gradient_T[entering])
        scale = max(scale_T[entering], scale_T[support].max())
        residual = gap / scale if gap > 0 else 0.0
        since_best += 1
        if residual < best_residual:
            best_T, best_residual, since_best = weights_T, residual, 0
        if residual <= TOLERANCE or entering in support:
            break
        weights_T, support, solved = _descend(weights_T, [*support, entering], move)
        iterations += solved
    return Solution(best_T, iterations, float(best_residual), best_residual > CERTIFIED)


def first_support(gram_TT: Array, vertex: int) -> list[int]:
    """Return all tasks if their gradients are affinely independent by a margin, else one task."""
    raised_TT = gram_TT + gram_TT.diagonal().max()
    try:
        pivots_T = np.linalg.cholesky(raised_TT).diagonal()
    except np.linalg.LinAlgError:
        return [vertex]
    return list(range(len(gram_TT))) if pivots_T.min() > MARGIN * pivots_T.max() else [vertex]


def _descend(
    weights_T: Array, support: list[int], move: Callable[[list[int]], Move]
) -> tuple[Array, list[int], int]:
    """Go to the minimum on the hull of the support, dropping tasks at the boundary."""
    solved = 0
    while True:
        now_S = weights_T[support]
        vector_S, unbounded = move(support)
        solved += 1
        weights_T = np.zeros(len(weights_T))
        if not unbounded and vector_S.min() > 0:
            weights_T[support] = vector_S / vector_S.sum()
            return weights_T, support, solved
        step_S = vector_S if unbounded else vector_S - now_S
        length, leaving = min(
            (
                (now / -step, place)
                for place, (now, step) in enumerate(
                    zip(now_S.tolist(), step_S.tolist(), strict=True)
                )
                if step < 0
            ),
            default=(0.0, int(vector_S.argmin())),
        )
        new_S = np.maximum(now_S + length * step_S, 0.0)
        new_S[leaving] = 0.0
        weights_T[support] = new_S / new_S.sum()
        support = [task for task, w in zip(support, new_S.tolist(), strict=True) if w > 0]
