"""Steps of QM9 by either library of products and with blocks of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import qm9
from benchmarks.steps import Problem, Step, time_steps
from mtl_bench.architectures import edge_messages
from mtl_bench.architectures.products import Blas, OneDNN
from mtl_bench.runtime.memory import reuse_freed_memory
from mtl_bench.runtime.processor import processor_name

FLOATS = (300_000, 600_000, 1_200_000, 2_400_000)
"""Of the largest intermediate of a block."""


def measure(
    data: Path, rounds: int, threads: int, only: Sequence[str], profile: str
) -> dict[str, Any]:
    """Time steps by each library and size of blocks, interleaved.

    Args:
        data: folder of prepared data.
        rounds: timed rounds after one that is not.
        threads: CPU threads.
        only: contestants of ``python -m benchmarks qm9``, by default LS and TaskForce.
        profile: whose sizes.
    """
    torch.set_num_threads(threads)
    reuse_freed_memory()
    return compare(qm9.problem(data, profile), rounds, only or ["ls", "taskforce"])


def compare(problem: Problem, rounds: int, only: Sequence[str]) -> dict[str, Any]:
    """Time the steps of a problem with each library and size of blocks, interleaved."""
    libraries = {"BLAS": Blas}
    if torch.backends.mkldnn.is_available():
        libraries["oneDNN"] = OneDNN
    result: dict[str, Any] = {
        "title": problem.title,
        "processor": processor_name(),
        "torch": torch.__version__,
        "rounds": rounds,
        "cpu_seconds": {},
    }
    steps, _ = problem.contestants(only)
    for name, step in steps.items():
        variants = {
            (library, floats): with_library(step, kind, floats)
            for (library, kind), floats in product(libraries.items(), FLOATS)
        }
        seconds = time_steps(
            {f"{library} {floats:,}": step for (library, floats), step in variants.items()},
            problem.batches,
            rounds,
        )
        result["cpu_seconds"][name] = seconds
    return result


def with_library(step: Step, kind: type[Blas], floats: int) -> Step:
    """Return a step whose products are made by a library, in blocks of so many floats."""
    library = kind()
    library.block_floats = floats

    def choose(weight: Tensor) -> Blas:
        return library

    def run(batch: Any) -> None:  # noqa: ANN401 - the network's own batch
        chosen, edge_messages.library_for = edge_messages.library_for, choose
        try:
            step.run(batch)
        finally:
            edge_messages.library_for = chosen

    return Step(run, step.convert)


def render(result: dict[str, Any]) -> str:
    """Return a Markdown table; ratios are medians of the rounds' own."""
    steps = result["cpu_seconds"]
    heads = [head for name in steps for head in (f"{name}, CPU s", "relative")]
    lines = [
        f"{result['title']}, {result['processor']}, torch {result['torch']}, "
        f"median of {result['rounds']} interleaved rounds:",
        "",
        "| " + " | ".join(["library, floats of a block", *heads]) + " |",
        "|---" * (1 + len(heads)) + "|",
    ]
    first, *_ = steps.values()
    for variant in first:
        cells = [variant]
        for seconds in steps.values():
            reference = next(iter(seconds.values()))
            ratios = [own / other for own, other in zip(seconds[variant], reference, strict=True)]
            cells += [f"{median(seconds[variant]):.3f}", f"{median(ratios):.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
