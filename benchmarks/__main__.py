"""Measure training steps, their products, solvers and agents, or a trivial predictor.

python -m benchmarks NAME [--json] [KEY=VALUE ...]

The settings are paths.data=data rounds=7 threads=1 and, for training steps, only=ls,mgda (by
default every contestant) and memory=true. blocks takes profile=mini, too. growth draws a picture
into paths.figures=DIR. For a look at a device, see `scripts/gpu_check.sh`, they are device=auto
tiny=false out=gpu_check.json and only=steps,tests. --json prints JSON alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import growth_figure, steps
from mtl_bench.errors import ConfigError, MtlBenchError
from mtl_bench.reporting.drawing import save, style
from mtl_bench.words import parse_count, parse_settings, require_choice

NAMES = (
    *("agents", "blocks", "constant", "counts", "device", "growth", "lenet", "mtan", "phases"),
    *("precision", "processes", "pspnet"),
    *("qm9", "readme_loop", "sac", "solvers", "systems"),
)


def main(words: Sequence[str]) -> int:
    """Run one measurement, print it and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args(sorted(words, key=lambda word: not word.startswith("-")))
    try:
        result, shown = run(options.name, options.settings)
    except MtlBenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_status
    print(json.dumps(result, indent=2) if options.json else shown)
    return 0


def run(name: str, words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return a measurement and its text; see the module of its name.

    Raises:
        ConfigError: a setting that does not exist or has no such value.
    """
    settings = parse_settings(
        words,
        **{"paths__data": "data", "paths__figures": None, "rounds": "7", "threads": "1"},
        **{"only": None, "memory": "false", "profile": "paper"},
        **{"device": "auto", "tiny": "false", "out": "gpu_check.json"},
    )
    for key in ("memory", "tiny"):
        require_choice(settings, key, ("true", "false"))
    require_choice(settings, "profile", ("smoke", "demo", "mini", "paper"))
    data = Path(str(settings["paths.data"]))
    tiny = settings["tiny"] == "true"
    rounds, threads = parse_count(settings, "rounds"), parse_count(settings, "threads")
    only = [choice.strip() for choice in (settings["only"] or "").split(",") if choice.strip()]
    folder = settings["paths.figures"]
    if folder is not None:
        if name != "growth":
            raise ConfigError(f"paths.figures={folder}: {name} draws no picture, growth does")
        style()  # says now, and not in minutes, if matplotlib is missing
    module: Any = import_module(f"benchmarks.{name}")
    if not hasattr(module, "problem"):
        arguments = {
            "solvers": (rounds,),
            "agents": (rounds, threads),
            "readme_loop": (rounds, threads, only),
            "sac": (rounds, threads, only),
            "systems": (rounds, threads, only),
            "growth": (data, rounds, threads, only),
            "processes": (data, rounds, threads, only),
            "phases": (data, rounds, threads, only),
            "blocks": (data, rounds, threads, only, settings["profile"]),
            "precision": (data,),
            "constant": (data,),
            "counts": (data, only),
            "device": (data, str(settings["device"]), tiny, Path(str(settings["out"])), only),
        }
        result = module.measure(*arguments[name])
        if folder is not None:
            save(growth_figure.draw(result), Path(folder), "growth")
        return result, module.render(result)
    result = steps.measure(module.problem(data), rounds, threads, only)
    if settings["memory"] == "true":
        shared = [f"paths.data={data}", f"threads={threads}"]
        names = list(result["median_cpu_seconds"])
        result["peak_memory_of_each"] = steps.measure_memory(name, names, shared)
    return result, steps.render(result)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
