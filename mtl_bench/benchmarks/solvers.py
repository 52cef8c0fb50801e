"""Cost of the T x T solvers on random Gram matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from mtl_bench.benchmarks.steps import render_left_out
from mtl_bench.errors import MissingExtraError
from mtl_bench.methods.imtl import equal_projections
from mtl_bench.solvers import solve_cagrad, solve_min_norm, solve_nash
from mtl_bench.solvers.ccp import ConvexConcave
from mtl_bench.solvers.solution import Array, Solution

SIZES = (2, 3, 11, 40)
REPEATS = 20
SLOW = "nash_ccp"


def measure(rounds: int) -> dict[str, Any]:
    """Time each solver on Gram matrices of T random gradients in 4 T dimensions.

    Args:
        rounds: matrices of each size; each is solved 20 times by every solver in turn, once by the
            slow ``nash_ccp``, which is left out where cvxpy or ECOS is not installed.

    Returns:
        Median microseconds and, for the two Nash solvers, largest max_t |a_t (Ka)_t - 1|; both
        solver -> T -> value.
    """
    solvers: dict[str, Callable[[Array], Solution | Array]] = {
        "min_norm": solve_min_norm,
        "cagrad": lambda gram_TT: solve_cagrad(gram_TT, 0.4),
        "nash": solve_nash,
        "imtl": equal_projections,
    }
    left_out: dict[str, str] = {}
    rng = np.random.default_rng(0)
    seconds: dict[str, dict[int, list[float]]] = {}
    residuals: dict[str, dict[int, float]] = {}
    for size in SIZES:
        contestants = dict(solvers)
        try:
            contestants[SLOW] = _procedure(size)
        except MissingExtraError as error:
            left_out[SLOW] = str(error)
        for _ in range(rounds):
            gradients_TP = rng.normal(size=(size, 4 * size))
            gram_TT = gradients_TP @ gradients_TP.T
            for repeat in range(REPEATS):
                for name, solve in contestants.items():
                    if name == SLOW and repeat > 0:
                        continue
                    begin = time.perf_counter()
                    solution = solve(gram_TT)
                    spent = time.perf_counter() - begin
                    seconds.setdefault(name, {}).setdefault(size, []).append(spent)
                    if name.startswith("nash") and isinstance(solution, Solution):
                        worst = residuals.setdefault(name, {})
                        worst[size] = max(worst.get(size, 0.0), solution.residual)
    return {
        "median_microseconds": {
            name: {str(size): 1e6 * median(values) for size, values in by_size.items()}
            for name, by_size in seconds.items()
        },
        "residual": {
            name: {str(size): value for size, value in by_size.items()}
            for name, by_size in residuals.items()
        },
        "left_out": left_out,
        "rounds": rounds,
    }


def _procedure(size: int) -> Callable[[Array], Solution]:
    """Return the official procedure of Nash-MTL."""
    procedure = ConvexConcave(size)
    return lambda gram_TT: procedure.solve(gram_TT, np.ones(size))


def render(result: dict[str, Any]) -> str:
    """Return the measurement as a Markdown table."""
    medians = result["median_microseconds"]
    lines = [
        "| median µs | " + " | ".join(f"T = {size}" for size in SIZES) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for name, by_size in medians.items():
        cells = " | ".join(f"{by_size[str(size)]:.0f}" for size in SIZES)
        lines.append(f"| {name} | {cells} |")
    for name, worst in result["residual"].items():
        cells = " | ".join(f"{worst[str(size)]:.0e}" for size in SIZES)
        lines.append(f"| {name}: largest residual | {cells} |")
    return "\n".join([*lines, *render_left_out(result["left_out"])])
