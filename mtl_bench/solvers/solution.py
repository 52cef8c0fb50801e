"""What a solver answers."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

CERTIFIED = 1e-6
"""Residual above which the answer is no solution."""


class Solution(NamedTuple):
    """Weights with the evidence that they are right.

    Args:
        weights_T: the weights.
        iterations: how many systems were solved.
        residual: distance from optimality, relative to the scale of the problem; each solver says
            which.
        fallback: the problem was degenerate or unsolved, and the solver's documented substitute
            answered.

    Example:
        >>> import numpy as np
        >>> from mtl_bench.solvers import solve_min_norm
        >>> solution = solve_min_norm(np.eye(2))
        >>> bool(solution.residual < 1e-12), solution.fallback
        (True, False)
    """

    weights_T: Array
    iterations: int
    residual: float
    fallback: bool
