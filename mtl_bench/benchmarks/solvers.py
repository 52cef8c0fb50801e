"""Cost of the T x T solvers on random Gram matrices."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from mtl_bench.methods.imtl import equal_projections
from mtl_bench.solvers import solve_cagrad, solve_min_norm, solve_nash

SIZES = (2, 3, 11, 40)
REPEATS = 20


def measure(rounds: int) -> dict[str, Any]:
    """Time each solver on Gram matrices of T random gradients in 4 T dimensions.

    Args:
        rounds: matrices of each size; each is solved 20 times by every solver in turn.

    Returns:
        Median microseconds, solver -> T -> value.
    """
    solvers = {
        "min_norm": solve_min_norm,
        "cagrad": lambda gram_TT: solve_cagrad(gram_TT, 0.4),
        "nash": solve_nash,
        "imtl": equal_projections,
    }
    rng = np.random.default_rng(0)
    seconds: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in SIZES} for name in solvers
    }
    for size in SIZES:
        for _ in range(rounds):
            gradients_TP = rng.normal(size=(size, 4 * size))
            gram_TT = gradients_TP @ gradients_TP.T
            for _ in range(REPEATS):
                for name, solve in solvers.items():
                    begin = time.perf_counter()
                    solve(gram_TT)
                    seconds[name][size].append(time.perf_counter() - begin)
    return {
        "median_microseconds": {
            name: {str(size): 1e6 * median(values) for size, values in by_size.items()}
            for name, by_size in seconds.items()
        },
        "rounds": rounds,
    }


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
    return "\n".join(lines)
