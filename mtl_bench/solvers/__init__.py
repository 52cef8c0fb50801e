"""Solvers of the T x T problems behind the gradient methods: float64 NumPy, no torch.

Each takes a Gram matrix K of T task gradients, finite, and symmetric up to rounding, and answers
with a ``Solution``. NumPy, since operations on 11 x 11 numbers are several times quicker there than
in torch.
"""

from mtl_bench.solvers.cagrad import solve_cagrad
from mtl_bench.solvers.dual_cone import project_onto_dual_cone
from mtl_bench.solvers.fair import solve_fair
from mtl_bench.solvers.min_norm import solve_min_norm
from mtl_bench.solvers.nash import solve_nash
from mtl_bench.solvers.solution import Solution

__all__ = [
    "Solution",
    "project_onto_dual_cone",
    "solve_cagrad",
    "solve_fair",
    "solve_min_norm",
    "solve_nash",
]
