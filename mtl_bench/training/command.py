"""What ``mtl-bench train`` does and prints."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from mtl_bench.config.compose import compose_config
from mtl_bench.training.run import run
from mtl_bench.training.sweep import Cell, look, look_cell, sweep


def train(overrides: Sequence[str], *, multirun: bool = False, dry_run: bool = False) -> int:
    """Train one run or a sweep, or say what is left of it; return the exit status.

    Args:
        overrides: words of the command line.
        multirun: a sweep; an experiment always is one.
        dry_run: train nothing, print the runs that are not finished; 1 if there are any.
    """
    several = multirun or any(word.startswith("experiment=") for word in overrides)
    if dry_run:
        return _tell_left(sweep(overrides, look_cell) if several else [look(overrides)])
    if several:
        return _tell_failed(sweep(overrides))
    outcome = run(compose_config(overrides))
    if outcome.state == "already finished":
        print(f"already finished: {outcome.path}")
    return 0


def _tell_failed(cells: list[Cell]) -> int:
    failed = [cell for cell in cells if cell.error is not None]
    print(f"{len(cells) - len(failed)} of {len(cells)} runs are finished")
    for cell in failed:
        print(f"failed: {' '.join(cell.overrides)}: {cell.error}", file=sys.stderr)
    if failed:
        print("the same command tries these again and skips the others", file=sys.stderr)
    return 1 if failed else 0


def _tell_left(cells: list[Cell]) -> int:
    states = Counter(cell.state for cell in cells)
    for cell in cells:
        if cell.state != "finished":
            reason = f" ({cell.error})" if cell.error else ""
            print(f"{cell.state}: {' '.join(cell.overrides)}{reason}")
    print(", ".join(f"{count} {state}" for state, count in states.items()))
    return 0 if states["finished"] == len(cells) else 1
