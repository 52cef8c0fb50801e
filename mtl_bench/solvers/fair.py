"""The alpha-fair combination of the task gradients."""

from __future__ import annotations

import numpy as np

from mtl_bench.solvers.nash import SMALLEST_NORM, regular_cosines
from mtl_bench.solvers.solution import CERTIFIED, Array, Solution

MAX_STEPS = 200

PRECISION = 1e-14
"""Largest relative change of a weight at which the search ends."""

ROUNDING = 1e-4
"""Relative change below which steps square the error until they are made of rounding errors."""

SHORTEST = 1e-12
"""Share of a Newton step below which it is taken all the same: what is left is rounding."""


def solve_fair(gram_TT: Array, alpha: float) -> Solution:
    """Return the positive w with (Kw)_t = w_t^(-1/alpha) for every task (Ban & Ji 2024, Eq. 4).

    It is the minimiser of the strictly convex 1/2 w'Kw - sum_t phi(w_t) with
    phi'(w) = w^(-1/alpha), here found by Newton steps with backtracking. With p = 1/alpha and C the
    cosines, w_t = y_t ||g_t||^(-2/(1+p)) and s_t = ||g_t||^((p-1)/(p+1)) turn the equation into
    (CSy)_t = s_t y_t^(-p). Orthogonal gradients have y = 1. The residual is
    max_t |y_t^p (CSy)_t / s_t - 1| of the problem solved.

    What is done about gradients that cancel, or that are all but zero, is what ``solve_nash`` does:
    the eigenvalues of the cosines are raised to 1e-8, and a gradient of less than 1e-12 of the
    largest norm gets the largest weight of the others (1 if all are zero). Both count as fallbacks,
    as does a residual above 1e-6, which was seen for alpha below 0.5, or 0.5 or 10 and norms 1e12
    apart.

    Args:
        gram_TT: K, positive semi-definite up to rounding.
        alpha: 1 for the Nash bargaining solution; the larger, the more alike are the (Kw)_t.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import solve_fair
        >>> solve_fair(np.array([[4.0, 0.0], [0.0, 1.0]]), 1.0).weights_T
        array([0.5, 1. ])
    """
    num_tasks = len(gram_TT)
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    largest = norms_T.max()
    present = norms_T > SMALLEST_NORM * largest
    if not present.any():
        return Solution(np.ones(num_tasks), 0, 0.0, True)
    norms_S = norms_T[present]
    cosines_SS, lifted = regular_cosines(gram_TT[np.ix_(present, present)], norms_S)
    power = 1 / alpha
    scale_S = (norms_S / largest) ** ((power - 1) / (power + 1))
    y_S, steps, residual = _newton(cosines_SS, scale_S, power)
    weights_T = np.zeros(num_tasks)
    weights_T[present] = y_S * norms_S ** (-2 / (1 + power))
    weights_T[~present] = weights_T.max()
    fallback = lifted or residual > CERTIFIED or not present.all()
    return Solution(weights_T, steps, residual, bool(fallback))


def _newton(cosines_SS: Array, scale_S: Array, power: float) -> tuple[Array, int, float]:
    """Solve (CSy)_t = s_t y_t^(-p); return y, the steps taken and the residual.

    The unknown is z = Sy, and the function to be minimised 1/2 z'Cz - sum_t s_t^(p+1) phi(z_t).
    """
    slope_S = scale_S ** (power + 1)
    z_S = scale_S.copy()
    steps, change = 0, np.inf
    while steps < MAX_STEPS:
        pull_S = slope_S * z_S**-power
        gradient_S = cosines_SS @ z_S - pull_S
        hessian_SS = cosines_SS.copy()
        hessian_SS.flat[:: len(z_S) + 1] += power * pull_S / z_S
        step_S = -np.linalg.solve(hessian_SS, gradient_S)
        slope = float(gradient_S @ step_S)
        steps += 1
        relative = float(np.abs(step_S / z_S).max())
        length = min(1.0, 0.99 / max(float((-step_S / z_S).max()), 1e-300))
        # the function still falls at the end of the step, or its slope there is a small one
        while relative >= ROUNDING and length > SHORTEST:
            there_S = z_S + length * step_S
            rise = float((cosines_SS @ there_S - slope_S * there_S**-power) @ step_S)
            if rise <= -0.1 * slope:
                break
            length *= 0.5
        z_S = z_S + length * step_S
        if relative < PRECISION or change <= relative < ROUNDING:
            break
        change = relative
    residual = np.abs(cosines_SS @ z_S * z_S**power / slope_S - 1).max()
    return z_S / scale_S, steps, float(residual)
