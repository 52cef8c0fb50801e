"""The convex-concave procedure of the official Nash-MTL code, for comparisons with it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mtl_bench.errors import MissingExtraError
from mtl_bench.solvers.solution import Array, Solution

MAX_PROGRAMS = 20
MAX_ITERATIONS = 100
UNSOLVED = 1e-3
"""Residual above which the procedure has not come to a solution."""


class ConvexConcave:
    """Solves a_t (Ka)_t = 1 by convex programs (Navon et al. 2022, section 3.2 and appendix).

    With M = K / ||K||, minimise sum_t (Ma)_t + p(a) / ||K|| over a >= 0 with
    log(||K|| a_t) + log (Ma)_t >= 0, where p is sum_t log a_t + log (Ma)_t linearised at the last
    a. It ends after 20 programs, at ||Ma - 1/a|| < 1e-3, or at a change below 1e-6, answering in
    the last two cases with the a that it linearised at: all as in the official code. (Its first
    test has M in place of K, so that a single task keeps the weight 1.)

    Args:
        num_tasks: T.

    Raises:
        MissingExtraError: cvxpy or ECOS is not installed.
    """

    def __init__(self, num_tasks: int) -> None:
        try:
            import cvxpy
        except ImportError:
            cvxpy = None
        if cvxpy is None or "ECOS" not in cvxpy.installed_solvers():
            raise MissingExtraError(
                "method.solver=ccp needs cvxpy and ecos: pip install 'mtl_bench[nash-ccp]', or "
                "take method.solver=newton"
            )
        self._failure: type[Exception] = cvxpy.error.SolverError
        self._a = cvxpy.Variable(num_tasks, nonneg=True)
        self._matrix = cvxpy.Parameter((num_tasks, num_tasks))
        self._slope = cvxpy.Parameter(num_tasks)
        self._bound = cvxpy.Parameter()
        products = self._matrix @ self._a
        self._problem: Any = cvxpy.Problem(
            cvxpy.Minimize(cvxpy.sum(products) + self._slope @ self._a),
            [cvxpy.log(self._a) + cvxpy.log(products) >= self._bound],
        )

    def solve(self, gram_TT: Array, start_T: Array) -> Solution:
        """Return the weights that the procedure ends at.

        The residual is max_t |a_t (Ka)_t - 1|; an answer with one above 1e-3 counts as a fallback.
        A program that fails, or that cannot be written down since an entry of Ka is zero, ends the
        procedure with the last weights, as a fallback; so does a Gram matrix of zeros.
        """
        norm = float(np.linalg.norm(gram_TT))
        if norm == 0:
            return Solution(start_T.copy(), 0, 1.0, True)
        matrix_TT = gram_TT / norm
        self._matrix.value = matrix_TT
        self._bound.value = -np.log(norm)
        now_T, programs, failed = start_T, 0, False
        while programs < MAX_PROGRAMS:
            if np.linalg.norm(matrix_TT @ now_T - 1 / (now_T + 1e-10)) < 1e-3:
                break
            new_T = self._linearised(matrix_TT, now_T, norm)
            programs += 1
            if new_T is None:
                failed = True
                break
            if np.linalg.norm(new_T - now_T) < 1e-6:
                break
            now_T = new_T
        residual = float(np.abs(now_T * (gram_TT @ now_T) - 1).max())
        return Solution(now_T.copy(), programs, residual, failed or residual > UNSOLVED)

    def _linearised(self, matrix_TT: Array, now_T: Array, norm: float) -> Array | None:
        """Solve one program; None if it has no finite slope, or if ECOS fails."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            slope_T = (1 / now_T + (1 / (matrix_TT @ now_T)) @ matrix_TT) / norm
        if not np.isfinite(slope_T).all():
            return None
        self._slope.value = slope_T
        try:
            with warnings.catch_warnings():  # the residual tells what they would
                warnings.simplefilter("ignore")
                self._problem.solve(solver="ECOS", max_iters=MAX_ITERATIONS)
        except self._failure:
            return None
        new_T = self._a.value
        valid = new_T is not None and (new_T > 0).all() and (matrix_TT @ new_T > 0).all()
        return np.asarray(new_T) if valid else None
