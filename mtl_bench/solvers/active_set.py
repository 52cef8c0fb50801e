"""Convex minimisation over the probability simplex by Wolfe's active-set scheme.

Legend of shape suffixes: T tasks, S tasks in the support.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from mtl_bench.solvers.solution import Array

TOLERANCE = 1e-12
"""Residual at which the search ends."""

MARGIN = 1e-4
"""Ratio of pivots, as of gradient norms, above which a Gram matrix counts as regular."""

WIDE = 1e3
"""Ratio of gradient norms above which the gradients are measured by their norms."""

PROGRESS = 0.9
"""What the residual must be multiplied by, at most, within T steps, for the search to go on."""

SHORTEST = 1e-50
"""What a gradient's norm, relative to the largest, is raised to, for the sake of division."""


class SimplexProblem(ABC):
    """Minimise a convex function of b'w and w'Kw over w >= 0, sum w = 1.

    Wolfe (1976) gives the scheme for the norm: find the minimum on the affine hull of the support;
    if it lies outside the simplex, stop at the boundary and drop what reached zero; if inside, add
    the task with the smallest gradient, until none is smaller than the average. It needs nothing
    but a closed form on an affine hull, and then works for other functions too.

    Independent gradients whose norms lie within a factor of 1000 begin with all tasks in the
    support, which is quicker where most tasks stay. For all others the search is for
    x_t = w_t / u_t with u_t = 1 / ||g_t||, and K becomes the matrix of cosines: otherwise the
    rounding errors of the longest gradient would hide the others. It begins with one task, since a
    table that holds the longest gradients beside the shortest is not accurate. The negative
    eigenvalues of the cosines of dependent gradients are cut off.

    The residual is the largest of

        (g'w - g_t) / ((||g_t|| + n) m)   with   n = sum_s w_s ||g_s||

    over the tasks t, with g the gradient at w and m the norm to which ``gradient`` says that it is
    relative. The minimum w* is missed by at most residual m (n + n*).

    Args:
        gram_TT: K, symmetric and positive semi-definite up to rounding, not all zero.
    """

    slope_T: Array | None = None
    """b in the units of the search; None for 0."""
    solved = 0
    """How many systems were solved."""

    def __init__(self, gram_TT: Array) -> None:
        squares_T = gram_TT.diagonal()
        norms_T = np.sqrt(np.maximum(squares_T / squares_T.max(), SHORTEST**2))
        self.gram_TT = gram_TT / squares_T.max()
        self.norms_T, self.unit_T = norms_T, np.ones(len(gram_TT))
        self.all_at_once = norms_T.min() * WIDE >= 1 and self.independent()
        self.regular = self.all_at_once
        if not self.all_at_once:
            self.gram_TT = self.gram_TT / norms_T[:, None] / norms_T
            self.norms_T, self.unit_T = self.unit_T, 1 / norms_T
            self.regular = self.independent()
        if not self.regular:
            self.gram_TT = _positive_part(self.gram_TT)

    @abstractmethod
    def gradient(self, x_T: Array) -> tuple[Array, float]:
        """Return the gradient at x, and the norm m that the length of g_t multiplies in entry t."""

    def minimum(self, nearest_T: Array, square: float, direction_T: Array) -> tuple[Array, bool]:
        """Return where the function is smallest on an affine hull.

        Args:
            nearest_T: the point of smallest norm.
            square: its squared norm.
            direction_T: the direction q in which Kq + b is constant; meaningless if b is 0.

        Returns:
            The minimiser and False; or, if there is none, a direction in which the function falls
            for ever and True.
        """
        return nearest_T, False

    def independent(self) -> bool:
        """Return whether the gradients are affinely independent by a margin."""
        return is_regular(_raised(self.gram_TT, self.unit_T))

    def violation(self, x_T: Array) -> Array:
        """Return what each task contributes to the residual."""
        gradient_T, size = self.gradient(x_T)
        mean = float(x_T @ gradient_T) / float(x_T @ self.unit_T)
        reach = float(self.norms_T @ np.abs(x_T))
        return (mean * self.unit_T - gradient_T) / ((self.norms_T + reach * self.unit_T) * size)

    def solve(self, vertex: int) -> tuple[Array, float]:
        """Return w and the residual.

        Args:
            vertex: the task to begin with, unless all do.
        """
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            x_T, support = self.search(vertex)
        weights_T = np.zeros(len(x_T))
        weights_S = x_T[support] * self.unit_T[support]
        weights_T[support] = weights_S / weights_S.sum()
        return weights_T, max(float(self.violation(x_T).max()), 0.0)

    def search(self, vertex: int) -> tuple[Array, list[int]]:
        """Return x and its support, in the order in which the tasks came to it."""
        num_tasks = len(self.unit_T)
        support = list(range(num_tasks)) if self.all_at_once else [vertex]
        if self.all_at_once:
            x_T, unbounded = self.affine(support)
            if not unbounded and x_T.min() > 0:
                return x_T, support
        bordered = np.zeros((num_tasks + 1, num_tasks + 1))
        bordered[:-1, :-1] = self.gram_TT
        bordered[-1, :-1] = bordered[:-1, -1] = self.unit_T
        table = _swept(bordered, [*support, num_tasks])
        self.solved = 0
        x_T = np.zeros(num_tasks)
        x_T[support] = 1 / (len(support) * self.unit_T[support])
        x_T, support = self._descend(x_T, support, table)
        best, best_residual = (x_T, support), np.inf
        milestone, since_milestone = np.inf, 0
        while since_milestone <= num_tasks:  # rounding can make degenerate supports repeat for ever
            violation_T = self.violation(x_T)
            residual = float(violation_T.max())
            since_milestone += 1
            if residual < best_residual:
                best, best_residual = (x_T, support), residual
            if residual < PROGRESS * milestone:
                milestone, since_milestone = residual, 0
            reach = float(self.norms_T @ x_T)
            entering = int((violation_T * (self.norms_T + reach)).argmax())
            if residual <= TOLERANCE or entering in support or table[entering, entering] <= 0:
                break
            _sweep(table, entering, 1)
            x_T, support = self._descend(x_T, [*support, entering], table)
        return self._polished(*best, best_residual)

    def affine(self, support: list[int]) -> tuple[Array, bool]:
        """Return what ``minimum`` does for the affine hull of a support."""
        self.solved += 1
        unit_S = self.unit_T[support]
        raised_SS = _raised(self.gram_TT[support][:, support], unit_S)
        right = unit_S
        if self.slope_T is not None:
            right = np.stack([unit_S, self.slope_T[support]], axis=1)
        try:
            solution = np.linalg.solve(raised_SS, right)
        except np.linalg.LinAlgError:
            solution = np.linalg.lstsq(raised_SS, right)[0]
        nearest_T, direction_T = np.zeros((2, len(self.unit_T)))
        ones_S = solution if self.slope_T is None else solution[:, 0]
        nearest_T[support] = ones_S / (unit_S * ones_S).sum()
        if self.slope_T is not None:
            direction_T[support] = -solution[:, 1]
        square = float(nearest_T @ self.gram_TT @ nearest_T)
        return self.minimum(nearest_T, square, direction_T)

    def _polished(self, x_T: Array, support: list[int], residual: float) -> tuple[Array, list[int]]:
        """Solve the last support's system anew, which rids x of what the sweeps left."""
        solved = self.solved
        polished_T, unbounded = self.affine(support)
        self.solved = solved
        if unbounded or polished_T.min() < 0:
            return x_T, support
        better = self.violation(polished_T).max() <= max(residual, TOLERANCE)
        return (polished_T if better else x_T), support

    def _descend(self, x_T: Array, support: list[int], table: Array) -> tuple[Array, list[int]]:
        """Go to the minimum on the hull of the support, dropping tasks at the boundary."""
        inside_T = np.zeros(len(x_T), dtype=bool)
        inside_T[support] = True
        while True:
            self.solved += 1
            if len(support) == 1:
                return inside_T / self.unit_T, support
            nearest_T = np.where(inside_T, -table[:-1, -1], 0.0)
            direction_T = nearest_T
            if self.slope_T is not None:
                slope_T = np.where(inside_T, self.slope_T, 0.0)
                direction_T = np.where(inside_T, table[:-1, :-1] @ slope_T, 0.0)
            target_T, unbounded = self.minimum(nearest_T, float(table[-1, -1]), direction_T)
            if not unbounded and target_T[inside_T].min() > 0:
                return target_T, support
            step_T = target_T if unbounded else target_T - x_T
            falling = np.flatnonzero(step_T < 0)
            if len(falling) == 0:  # nothing is left of the direction but rounding errors
                return x_T, support
            lengths = x_T[falling] / -step_T[falling]
            first = int(lengths.argmin())
            x_T = np.maximum(x_T + lengths[first] * step_T, 0.0)
            x_T[falling[first]] = 0.0
            for task in np.flatnonzero(inside_T & (x_T == 0)).tolist():
                _sweep(table, task, -1)
                inside_T[task] = False
                support = [other for other in support if other != task]


def is_regular(matrix_TT: Array) -> bool:
    """Return whether a symmetric matrix is positive definite by a margin."""
    try:
        pivots_T = np.linalg.cholesky(matrix_TT).diagonal()
    except np.linalg.LinAlgError:
        return False
    return bool(pivots_T.min() > MARGIN * pivots_T.max())


def _swept(matrix: Array, places: list[int]) -> Array:
    """Return a matrix swept on several rows and columns."""
    inverse = np.linalg.inv(matrix[places][:, places])
    across = matrix[:, places] @ inverse
    table = matrix - across @ matrix[places]
    table[places] = inverse @ matrix[places]
    table[:, places] = across
    table[np.ix_(places, places)] = -inverse
    return table


def _sweep(table: Array, place: int, sign: int) -> None:
    """Sweep a matrix on a row and column (1), or take that back (-1), in place.

    With S swept and R the rest, a matrix A has become -A_SS^-1 in SS, A_SS^-1 A_SR in SR,
    A_RS A_SS^-1 in RS, and A_RR - A_RS A_SS^-1 A_SR in RR (Beaton 1964). It need not be symmetric:
    Gram matrices that were multiplied in float32 are not quite.
    """
    column, row = table[:, place].copy(), table[place].copy()
    pivot = row[place]
    table -= np.multiply.outer(column, row / pivot)
    table[:, place] = sign / pivot * column
    table[place] = sign / pivot * row
    table[place, place] = -1 / pivot


def _positive_part(matrix_TT: Array) -> Array:
    """Return the nearest positive semi-definite matrix."""
    values_T, vectors_TT = np.linalg.eigh(matrix_TT)
    root_TT = vectors_TT * np.sqrt(np.maximum(values_T, 0.0))
    return np.asarray(root_TT @ root_TT.T)


def _raised(gram_SS: Array, unit_S: Array) -> Array:
    """Return K + k uu' with k the largest entry of K.

    That changes nothing where u'x = 1, and makes the matrix regular whenever the gradients are
    affinely independent.
    """
    unit_S = unit_S / unit_S.max()
    return gram_SS + (gram_SS.diagonal().max() or 1.0) * np.multiply.outer(unit_S, unit_S)
