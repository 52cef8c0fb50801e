"""The dual problem of CAGrad."""

from __future__ import annotations

import math

import numpy as np

from mtl_bench.solvers.active_set import TOLERANCE, SimplexProblem, is_regular
from mtl_bench.solvers.solution import CERTIFIED, Array, Solution

SMOOTHING = 1e-10
"""What is added to w'Kw under the root, relative to the squared norm of the mean gradient."""

CANCELLED = 1e-14
"""Squared norm of the mean gradient, relative to that of the gradients, that counts as zero."""

PATIENCE = 4
"""Exchanges in a row that may leave no fewer tasks on the wrong side."""


def solve_cagrad(gram_TT: Array, c: float) -> Solution:
    """Return the combination of gradients that CAGrad moves along, in weights.

    With b = K 1/T and r = c ||mean gradient||, minimise over the simplex

        F(w) = b'w + r sqrt(w'Kw + e),    e = 1e-10 ||mean gradient||^2

    and answer with 1/T + r / sqrt(w'Kw + e) w, the weights of d (Liu et al. 2021, Eq. 4-5). On the
    affine hull of a support F has its minimum in closed form: there w = p + s/r q, with p the point
    of smallest norm, q the direction that stationarity fixes, and s = sqrt(w'Kw + e) the root of
    s^2 = A + C s^2 / r^2. Without a root F falls for ever along q.

    The residual is the duality gap of F task by task (``SimplexProblem``): g_t'd falls short of its
    mean over w by at most residual (||g_t|| + n) m with n and m the sums of the norms in w and d.
    An answer whose residual is above 1e-6 counts as a fallback. If the gradients cancel (or c = 0)
    the answer is 1/T, which is exact; only for gradients that are all zero or cancel does it count
    as a fallback.

    Args:
        gram_TT: K, positive semi-definite up to rounding; its lower triangle counts, since F is
            minimised for a symmetric K.
        c: radius of the ball around the mean gradient, relative to its norm.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import solve_cagrad
        >>> solve_cagrad(np.array([[4.0, -1.0], [-1.0, 1.0]]), c=0.4).weights_T.round(3)
        array([0.5  , 0.846])
    """
    uniform_T = np.full(len(gram_TT), 1 / len(gram_TT))
    if gram_TT.mean() <= CANCELLED * gram_TT.diagonal().max() or c == 0:
        return Solution(uniform_T, 0, 0.0, c != 0)
    dual = _Dual(gram_TT, c)
    weights_T, residual = dual.solve(int(dual.violation(dual.mean_T).argmax()))
    beyond_T = dual.radius / dual.length(weights_T / dual.unit_T) * weights_T
    return Solution(uniform_T + beyond_T, dual.solved, residual, residual > CERTIFIED)


class _Dual(SimplexProblem):
    """The function F."""

    slope_T: Array

    def __init__(self, gram_TT: Array, c: float) -> None:
        super().__init__(np.tril(gram_TT) + np.tril(gram_TT, -1).T)
        self.mean_T = 1 / (len(gram_TT) * self.unit_T)
        self.slope_T = self.gram_TT @ self.mean_T
        square = float(gram_TT.mean() / gram_TT.diagonal().max())
        self.radius = c * math.sqrt(square)
        self.smoothing = SMOOTHING * square

    def independent(self) -> bool:
        """Return whether the gradients are linearly independent by a margin.

        Otherwise rounding can make w'Kw negative.
        """
        return is_regular(self.gram_TT)

    def length(self, x_T: Array) -> float:
        """Return s."""
        return math.sqrt(max(float(x_T @ self.gram_TT @ x_T), 0.0) + self.smoothing)

    def gradient(self, x_T: Array) -> tuple[Array, float]:
        direction_T = self.mean_T + self.radius / self.length(x_T) * x_T
        return self.gram_TT @ direction_T, float(self.norms_T @ np.abs(direction_T))

    def minimum(self, nearest_T: Array, square: float, direction_T: Array) -> tuple[Array, bool]:
        # of the directions along which Kq + b is constant, the one that keeps u'x
        direction_T = direction_T - float(self.unit_T @ direction_T) * nearest_T
        fall = -float(self.slope_T @ direction_T) / self.radius**2
        if fall >= 1 - 1e-12:
            return direction_T, True
        length = math.sqrt((max(square, 0.0) + self.smoothing) / (1 - fall))
        return nearest_T + length / self.radius * direction_T, False

    def search(self, vertex: int) -> tuple[Array, list[int]]:
        """Exchange all tasks on the wrong side at once, while their number falls.

        That takes a few systems where Wolfe's scheme takes one for each task that it drops; but it
        can go in circles, and then Wolfe's scheme begins anew.
        """
        inside_T = np.full(len(self.unit_T), self.regular)
        fewest, patience = len(inside_T), PATIENCE
        while self.regular and patience > 0:
            x_T, unbounded = self.affine(np.flatnonzero(inside_T).tolist())
            wrong_T = inside_T & (x_T <= 0)
            if not unbounded:
                wrong_T |= ~inside_T & (self.violation(x_T) > TOLERANCE)
            count = int(wrong_T.sum())
            if count == 0:
                return x_T, np.flatnonzero(inside_T).tolist()
            patience = PATIENCE if count < fewest else patience - 1
            fewest = min(fewest, count)
            inside_T ^= wrong_T
        return super().search(vertex)
