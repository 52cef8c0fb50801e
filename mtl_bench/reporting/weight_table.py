"""What weights the methods gave the tasks at the end of training, run by run.

Legend of shape suffixes: N updates, T tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_bench.records.reader import Record
from mtl_bench.records.steps import find_parts
from mtl_bench.reporting.figures.logs import step_series
from mtl_bench.reporting.figures.scene import FigureContext, find_scenes
from mtl_bench.reporting.figures.series import Array, nan_mean, shares
from mtl_bench.reporting.logged_runs import read_logged_runs
from mtl_bench.reporting.notes import kind_text, place_text, profile_text
from mtl_bench.reporting.statistics import ScoredRun
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render

VERDICT = ("moves", "negative", "effective tasks", "at bounds")

LAST = 5
"""The last one in so many updates is looked at."""


def render_weights(records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return a table per comparison: each run's mean share of every task in the last updates.

    Without a step log that has weights it is "".

    Args:
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    tables = [table for scene in find_scenes(records, None) if (table := _table(scene))]
    return render(tables, form, width) if tables else ""


def _table(scene: FigureContext) -> Table | None:
    rows, without, remarks = read_logged_runs(scene, _cells)
    if not rows and not remarks:
        return None
    shown = len(scene.tasks)
    columns = [[cells[k] for cells in rows.values()] for k in range(shown + len(VERDICT))]
    notes = [
        f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, "
        f"the last {100 // LAST} % of the updates. Share: |w| / Σ|w| in percent, mean over the "
        f"updates; equal weights are {100 / len(scene.tasks):.1f}. Moves: standard deviation of a "
        "share over the updates, mean over the tasks. Negative: part of all weights. Effective "
        "tasks: 1 / Σ of the squared mean shares. At bounds: share of "
        "TaskForce's actions beyond 0.95 of the bound."
    ]
    if without:
        notes.append(f"No step log of {', '.join(without)}.")
    notes += remarks
    return Table(
        f"weights: {place_text(scene.comparison)}",
        "run",
        list(rows),
        Columns(list(scene.tasks.values()), columns[:shown]),
        Columns(VERDICT, columns[shown:]),
        notes,
    )


def _cells(run: ScoredRun, tasks: list[str], component: str) -> list[Cell] | None:
    """Return a share per task, and the columns of the verdict; None without a step log.

    Raises:
        RecordError: a part of the log is missing or can't be read.
    """
    weights_NT = _tail(run, [f"weight/{task}" for task in tasks], component)
    if weights_NT is None:
        return None
    shares_NT = np.abs(shares(weights_NT))
    shares_T = nan_mean(shares_NT, axis=0)
    saturated = _tail(run, ["saturated"], component)
    return [
        *(_number(100 * share, 1) for share in shares_T),
        _number(100 * float(np.nanstd(shares_NT, axis=0).mean()), 1),
        _number(100 * float((weights_NT < 0).mean()), 0, " %"),
        _number(1 / float((shares_T**2).sum()), 1),
        NO_CELL if saturated is None else _number(100 * float(np.nanmean(saturated)), 0, " %"),
    ]


def _tail(run: ScoredRun, columns: list[str], component: str) -> Array | None:
    if not find_parts(run.record.path / "steps" / component):
        return None
    found = step_series(run.record.path, columns, run.summary.get("steps"), component)
    return None if found is None else found[1][-(len(found[1]) // LAST or 1) :]


def _number(value: float, digits: int, unit: str = "") -> Cell:
    return Cell(f"{value:.{digits}f}{unit}", value) if np.isfinite(value) else NO_CELL
