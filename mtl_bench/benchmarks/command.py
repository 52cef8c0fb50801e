"""What ``mtl-bench bench NAME`` runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def run_benchmark(
    name: str, *, data: Path, rounds: int, threads: int, only: list[str], memory: bool
) -> tuple[dict[str, Any], str]:
    """Return a measurement and its text; see the module of its name."""
    from mtl_bench.benchmarks import steps

    module: Any = import_module(f"mtl_bench.benchmarks.{name}")
    if not hasattr(module, "problem"):
        arguments = {
            "solvers": (rounds,),
            "agents": (rounds, threads),
            "sac": (rounds, threads, only),
            "precision": (data,),
            "constant": (data,),
        }
        result = module.measure(*arguments[name])
        return result, module.render(result)
    result = steps.measure(module.problem(data), rounds, threads, only)
    if memory:
        words = [f"paths.data={data}", f"threads={threads}"]
        names = list(result["median_cpu_seconds"])
        result["peak_memory_of_each"] = steps.measure_memory(name, names, words)
    return result, steps.render(result)
