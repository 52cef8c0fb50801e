"""Cost of choosing weights from a T x T Gram matrix."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from benchmarks.steps import render_left_out
from mtl_bench.errors import MissingExtraError
from mtl_bench.methods import IMTL, MGDA, AlignedMTL, CAGrad, NashMTL, PCGrad
from mtl_bench.methods.base import Method

SIZES = (2, 3, 11, 40, 100)
REPEATS = 20
SLOW = "nashmtl, ccp"
KINDS = {"independent": 4.0, "dependent": 0.5}
"""Dimensions of the gradients as a multiple of T."""


def measure(rounds: int) -> dict[str, Any]:
    """Time the methods' weights for Gram matrices of T random gradients, in CPU time.

    Args:
        rounds: matrices of each size and kind; each is given 20 times to every method in turn, once
            to the slow official procedure of Nash-MTL, which is left out where cvxpy or ECOS is
            not installed.

    Returns:
        Median microseconds and, for methods with a solver, the largest residual; both kind ->
        method -> T -> value.
    """
    left_out: dict[str, str] = {}
    generator = torch.Generator().manual_seed(0)
    medians: dict[str, dict[str, dict[str, float]]] = {}
    residuals: dict[str, dict[str, dict[str, float]]] = {}
    for kind, share in KINDS.items():
        for size in SIZES:
            seconds: dict[str, list[float]] = {}
            contestants: dict[str, Method] = {
                method.__name__.lower(): method(size)
                for method in (MGDA, CAGrad, NashMTL, IMTL, PCGrad, AlignedMTL)
            }
            try:
                contestants[SLOW] = NashMTL(size, solver="ccp")
            except MissingExtraError as error:
                left_out[SLOW] = str(error)
            losses_T = torch.ones(size)
            for _ in range(rounds):
                shape = (size, max(1, int(share * size)))
                gradients_TP = torch.randn(shape, generator=generator, dtype=torch.float64)
                gram_TT = gradients_TP @ gradients_TP.T
                for repeat in range(REPEATS):
                    for name, method in contestants.items():
                        if name == SLOW and repeat > 0:
                            continue
                        begin = time.process_time()
                        method.weights(losses_T, gram_TT)
                        seconds.setdefault(name, []).append(time.process_time() - begin)
                        if "solver_residual" in method.diagnostics:
                            worst = residuals.setdefault(kind, {}).setdefault(name, {})
                            found = method.diagnostics["solver_residual"]
                            worst[str(size)] = max(worst.get(str(size), 0.0), found)
            for name, values in seconds.items():
                by_size = medians.setdefault(kind, {}).setdefault(name, {})
                by_size[str(size)] = 1e6 * median(values)
    return {
        "median_cpu_microseconds": medians,
        "residual": residuals,
        "left_out": left_out,
        "rounds": rounds,
    }


def render(result: dict[str, Any]) -> str:
    """Return the measurement as Markdown tables."""
    tables = []
    for kind, share in KINDS.items():
        head = f"{kind} gradients, in {share:g} T dimensions: median CPU µs"
        lines = [
            f"| {head} | " + " | ".join(f"T = {size}" for size in SIZES) + " |",
            "|---|" + "---|" * len(SIZES),
        ]
        for name, by_size in result["median_cpu_microseconds"][kind].items():
            lines.append(f"| {name} | " + " | ".join(f"{v:.0f}" for v in by_size.values()) + " |")
        for name, worst in result["residual"][kind].items():
            cells = " | ".join(f"{value:.0e}" for value in worst.values())
            lines.append(f"| {name}: largest residual | {cells} |")
        tables.append("\n".join(lines))
    return "\n\n".join([*tables, *render_left_out(result["left_out"])])
