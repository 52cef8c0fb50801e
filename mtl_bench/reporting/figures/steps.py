"""The step logs of a row's seeds, reduced to a few points each as soon as they are read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from mtl_bench.errors import RecordError
from mtl_bench.records.steps import step_series
from mtl_bench.reporting.advice import rerun_command
from mtl_bench.reporting.figures.context import FigureContext
from mtl_bench.reporting.figures.series import Array
from mtl_bench.reporting.statistics import MethodRow

Reduced = TypeVar("Reduced")

Reduce = Callable[[Array, Array], tuple[Array, Reduced]]
"""(steps, columns) -> fewer steps and what is drawn of one seed."""


@dataclass(frozen=True)
class SeedLogs(Generic[Reduced]):
    """What is drawn of one row.

    Args:
        row: the row, with those of its seeds that have values.
        steps: updates at which there are values.
        values: what each seed was reduced to, over the same number of steps.
        updates: number of the last one, of the longest.
        title: the row's name, with that of the component where there are several.
        problems: what could not be read.
    """

    row: MethodRow
    steps: Array
    values: list[Reduced]
    updates: int
    problems: tuple[str, ...]
    title: str


def read_row(
    scene: FigureContext,
    row: MethodRow,
    columns: Sequence[str],
    reduce: Reduce[Reduced],
    component: str = "",
) -> SeedLogs[Reduced]:
    """Read and reduce the columns of every seed; no values where the logs don't have them.

    Runs of one setting have the same number of updates but for batches that were skipped, so the
    longer ones are cut. A run whose log can't be read becomes a problem.
    """
    runs = scene.runs[row.name]
    shortest = min((run.summary.get("steps") or sys.maxsize for run in runs), default=0)
    steps, values, updates = np.zeros(0), dict[int, Reduced](), 0
    without, problems = list[int](), list[str]()
    for run in runs:
        seed, path = run.record.seed, run.record.path
        if not (path / "steps").is_dir():
            without.append(seed)
            continue
        try:
            found = step_series(path, columns, run.summary.get("steps"), component)
        except RecordError as error:
            again = f"restore it from a copy, or move {path} away and run `{rerun_command(path)}`"
            problems.append(f"{row.name}: {error}: {again}")
            continue
        if found is None:
            continue
        kept_N = found[0] <= shortest
        at, reduced = reduce(found[0][kept_N], found[1][kept_N])
        if values and len(at) != len(steps):
            problems.append(f"{row.name}: {path} has another number of updates")
        else:
            steps, values[seed] = at, reduced
            updates = max(updates, int(found[0][kept_N].max(initial=0)))
    if without:
        problems.append(f"{row.name}: no step log of seed {', '.join(map(str, without))}")
    seen = replace(row, seeds=tuple(values))
    title = f"{row.name} {component}".rstrip()
    return SeedLogs(seen, steps, list(values.values()), updates, tuple(problems), title)
