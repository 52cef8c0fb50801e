"""Rows of tables that are made of step logs: one for each run and component."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from mtl_bench.errors import RecordError
from mtl_bench.files import printable
from mtl_bench.reporting.figures.scene import FigureContext
from mtl_bench.reporting.notes import unsealed_note
from mtl_bench.reporting.statistics import ScoredRun
from mtl_bench.reporting.table import Cell


class LoggedRuns(NamedTuple):
    """What the step logs of a comparison have told.

    Args:
        cells: name of run and component -> its cells.
        without: names of those without such a log.
        remarks: lines about records that are unsealed or can't be read.
    """

    cells: dict[str, list[Cell]]
    without: list[str]
    remarks: list[str]


def read_logged_runs(
    scene: FigureContext, read: Callable[[ScoredRun, list[str], str], list[Cell] | None]
) -> LoggedRuns:
    """Read the step log of each run and component.

    Args:
        scene: the comparison.
        read: (run, tasks, component) -> cells, None without such a log; may raise a RecordError.
    """
    found = LoggedRuns({}, [], [])
    for row in scene.comparison.rows:
        found.remarks.extend(f"- {row.name}: {note}." for note in unsealed_note(row.unsealed))
        for run, component in product(scene.runs[row.name], scene.components):
            name = " ".join([row.name, *filter(None, [component]), f"seed {run.record.seed}"])
            try:
                cells = read(run, list(scene.tasks), component)
            except RecordError as error:
                found.remarks.append(printable(f"- {name}: {error}."))
                continue
            if cells is None:
                found.without.append(name)
            else:
                found.cells[name] = cells
    return found
