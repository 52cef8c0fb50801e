"""What ``mtl-bench train`` does and prints."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_bench.config.compose import complete_config, resolve_config
from mtl_bench.config.groups import require_profile
from mtl_bench.datasets.commands import require_data
from mtl_bench.errors import ConfigError, Interrupted
from mtl_bench.files import printable
from mtl_bench.launch.cell import SweepRun, inspect_run
from mtl_bench.launch.sweep import inspect_sweep, sweep
from mtl_bench.ranks import count_processes
from mtl_bench.records.reader import ENDED
from mtl_bench.records.writer import record_path
from mtl_bench.training.run import run


def train(overrides: Sequence[str], *, multirun: bool = False, dry_run: bool = False) -> int:
    """Train one run or a sweep, or say what is left of it; return the exit status.

    Args:
        overrides: words of the command line.
        multirun: a sweep; an experiment always is one.
        dry_run: train nothing, print the runs that are not over; 1 if there are any.

    Raises:
        MtlBenchError: the run failed, or the sweep could not be carried out.
        Interrupted: the run, or runs of the sweep, were asked to stop.
    """
    several = multirun or any(word.startswith("experiment=") for word in overrides)
    for word in overrides:
        if not several and re.match(r"\+*hydra[./]", word):
            raise ConfigError(f"{word}: launchers are for sweeps; give -m, or leave it out")
    require_profile(overrides)
    if dry_run:
        return _tell_left(inspect_sweep(overrides) if several else [inspect_run(overrides)])
    if several and (processes := count_processes()) > 1:
        raise ConfigError(
            f"torchrun has started {processes} processes for a sweep: they train one run together, "
            "so start torchrun once for each run, or leave it out and give "
            f"hydra/launcher=processes hydra.launcher.n_jobs={processes}"
        )
    if several:
        return _tell_outcomes(sweep(overrides))
    outcome = run(_compose(overrides))
    if outcome.state == "already finished":
        print(f"already finished: {outcome.path}")
    return 0


def _compose(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose a run; data that are missing are told before anything imports torch.

    Where the run may have its record already, they need not be there.
    """
    config = resolve_config(overrides)
    place, root = record_path(config, "*"), config["dataset"].get("root")
    if root is not None and not any(place.parent.glob(place.name)):
        require_data(config["dataset"]["name"], Path(root))
    return complete_config(config)


def _tell_outcomes(cells: list[SweepRun]) -> int:
    states = Counter(cell.state for cell in cells)
    print(f"{states['finished']} of {len(cells) - states['left out']} runs are finished")
    _tell_left_out(cells)
    for cell in cells:
        if cell.state == "exploded":
            print(printable(f"{shlex.join(cell.overrides)}: {cell.error}"))
        if cell.state == "failed":
            line = f"failed: {shlex.join(cell.overrides)}: {cell.error}"
            print(printable(line), file=sys.stderr)
    if states["failed"]:
        print("the same command tries these again and skips the others", file=sys.stderr)
    if states["interrupted"]:
        told = next(cell.error for cell in cells if cell.state == "interrupted")
        others = states["interrupted"] - 1
        raise Interrupted(f"{told}, and in {others} other runs" if others else told)
    return 1 if states["failed"] else 0


def _tell_left(cells: list[SweepRun]) -> int:
    states = Counter(cell.state for cell in cells)
    _tell_left_out(cells)
    for cell in cells:
        if cell.state not in (*ENDED, "left out"):
            reason = f" ({cell.error})" if cell.error else ""
            print(printable(f"{cell.state}: {shlex.join(cell.overrides)}{reason}"))
    print(", ".join(f"{count} {state}" for state, count in states.items()))
    return 0 if sum(states[over] for over in (*ENDED, "left out")) == len(cells) else 1


def _tell_left_out(cells: list[SweepRun]) -> None:
    for error in dict.fromkeys(cell.error for cell in cells if cell.state == "left out"):
        print(f"left out: {error}")
