"""The Nash bargaining solution of the task gradients."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.solution import CERTIFIED, Array, Solution

SMALLEST_NORM = 1e-12
"""Gradient norm, relative to the largest, that counts as zero."""

RIDGE = 1e-8
"""Smallest eigenvalue that the matrix of cosines may have."""

MAX_STEPS = 200
ROUNDING = 1e-6
"""Squared Newton decrement below which one that does not fall is made of rounding errors."""

DECREMENT = 1e-12
"""Squared Newton decrement at which one last step is taken: steps near the end square the error."""


def solve_nash(gram_TT: Array) -> Solution:
    """Return the positive a with a_t (Ka)_t = 1 for every task (Navon et al. 2022, Claim 3.2).

    It is the minimiser of the strictly convex 1/2 a'Ka - sum_t log a_t, here found by Newton steps
    with backtracking in x_t = a_t ||g_t||, where K becomes the matrix of cosines: the scales of the
    gradients then do not matter. The residual is max_t |a_t (Ka)_t - 1| of the problem solved.

    Where gradients cancel exactly, a would be infinite. Therefore the cosines' eigenvalues are
    raised to 1e-8, which keeps x below 1e4; and a gradient of less than 1e-12 of the largest norm
    is left out, its task getting the largest weight of the others (1 if all are zero). Both count
    as fallbacks, as does a residual above 1e-6 after 200 steps.

    Args:
        gram_TT: K, positive semi-definite up to rounding.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import solve_nash
        >>> gram_TT = np.array([[4.0, -1.0], [-1.0, 1.0]])
        >>> a_T = solve_nash(gram_TT).weights_T
        >>> (a_T * (gram_TT @ a_T)).round(6)
        array([1., 1.])
    """
    num_tasks = len(gram_TT)
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    present = norms_T > SMALLEST_NORM * norms_T.max()
    if not present.any():
        return Solution(np.ones(num_tasks), 0, 0.0, True)
    norms_S = norms_T[present]
    cosines_SS, lifted = regular_cosines(gram_TT[np.ix_(present, present)], norms_S)
    scaled_S, steps, residual = _newton(cosines_SS)
    weights_T = np.zeros(num_tasks)
    weights_T[present] = scaled_S / norms_S
    weights_T[~present] = weights_T.max()
    fallback = lifted or residual > CERTIFIED or not present.all()
    return Solution(weights_T, steps, residual, bool(fallback))


def regular_cosines(gram_SS: Array, norms_S: Array) -> tuple[Array, bool]:
    """Return the cosines with eigenvalues of at least 1e-8, and whether some had to be raised."""
    cosines_SS = gram_SS / norms_S[:, None] / norms_S
    lift = RIDGE - float(np.linalg.eigvalsh(cosines_SS)[0])
    if lift > 0:
        cosines_SS = cosines_SS + lift * np.eye(len(norms_S))
    return cosines_SS, lift > 0


def _newton(matrix_SS: Array) -> tuple[Array, int, float]:
    """Minimise 1/2 x'Cx - sum log x; return x, the steps taken and the residual."""
    size = len(matrix_SS)
    x_S = np.full(size, np.sqrt(size / max(matrix_SS.sum(), RIDGE * size)))
    product_S = matrix_SS @ x_S
    steps, decrement = 0, np.inf
    while steps < MAX_STEPS:
        inverse_S = 1 / x_S
        gradient_S = product_S - inverse_S
        hessian_SS = matrix_SS.copy()
        hessian_SS.flat[:: size + 1] += inverse_S**2
        step_S = -np.linalg.solve(hessian_SS, gradient_S)
        slope = float(gradient_S @ step_S)
        steps += 1
        ratio_S = step_S * inverse_S
        length = min(1.0, 0.99 / max(float(-ratio_S.min()), 1e-300))
        curved_S = matrix_SS @ step_S
        bend = float(step_S @ curved_S)
        linear = float(product_S @ step_S)
        # f(x + l s) - f(x), from differences so that the end of the search sees no cancellation
        while (
            length * linear + 0.5 * length**2 * bend - np.log1p(length * ratio_S).sum()
            > 1e-4 * length * slope + 1e-14
        ):
            length *= 0.5
        x_S = x_S + length * step_S
        product_S = matrix_SS @ x_S
        if -slope < DECREMENT or decrement <= -slope < ROUNDING:
            break
        decrement = -slope
    return x_S, steps, float(np.abs(x_S * product_S - 1).max())
