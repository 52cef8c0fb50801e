"""Tables of all runs that are neither of the paper nor of results: ``mtl-bench tables weights``.

Legend of shape suffixes: N updates, T tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, product
from typing import NamedTuple

import numpy as np

from mtl_bench.config.groups import find_choices
from mtl_bench.errors import RecordError
from mtl_bench.files import printable
from mtl_bench.records.epochs import components_of, read_epochs
from mtl_bench.records.reader import Record
from mtl_bench.records.steps import CURVATURE, find_parts, step_series
from mtl_bench.reporting.agent_table import agent_table
from mtl_bench.reporting.cost_tables import step_cost_table
from mtl_bench.reporting.figures.context import FigureContext, find_scenes
from mtl_bench.reporting.figures.series import Array, epoch_series, nan_mean, shares
from mtl_bench.reporting.notes import kind_text, place_text, profile_text, unsealed_note
from mtl_bench.reporting.paired_table import FEWEST, explain_lack, paired_tables, usual_beside
from mtl_bench.reporting.statistics import ScoredRun
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, number_cell, render
from mtl_bench.reporting.tables import filled
from mtl_bench.reporting.triad import pair_columns, pair_statistics, triad_shares

VERDICT = ("moves", "negative", "effective tasks", "at bounds")

LAST = 5
"""The last one in so many updates is looked at for the weights."""

TRIAD = ("conflicts", "Φ", "(a)", "ξ", "ξ ≤ 1", "curvature", "H > 0")


class RunTable(NamedTuple):
    """What is shown of each comparison.

    Args:
        make: makes the tables of a comparison; none where its runs have nothing to show.
        shown: what a record must have or be, "" for nothing.
        method: whose runs alone are compared, None for those of all.
        methods: which to train where there is no run.
        seeds: with how many.
        explain: says why a comparison has none, and what to do; None to say what is ``shown``.
        by_run: whether a row says the same whatever other rows there are, so that some will do.
    """

    make: Callable[[FigureContext], Sequence[Table]]
    shown: str = ""
    method: str | None = None
    methods: str = "taskforce"
    seeds: int = 3
    explain: Callable[[FigureContext], str] | None = None
    by_run: bool = False


def render_runs(
    name: str, records: Sequence[Record], *, selection: str | None = None, form: Format, width: int
) -> str:
    """Return the tables of that name of every comparison, "" where no run has what it shows.

    Args:
        name: of ``find_run_tables``.
        records: as ``find_records`` returns them.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    table = find_run_tables()[name]
    own = [record for record in records if table.method in (None, record.method)]
    return render(chain.from_iterable(map(table.make, find_scenes(own, selection))), form, width)


def explain_no_table(name: str, records: Sequence[Record], selection: str | None) -> str:
    """Return why finished runs make no table, a line for each comparison; "" without such runs.

    Args:
        name: of ``find_run_tables``.
        records: as ``find_records`` returns them.
        selection: as in ``render_runs``.
    """
    table = find_run_tables()[name]
    if table.explain:
        return "".join(f"{table.explain(scene)}\n" for scene in find_scenes(records, selection))
    finished = any(record.summary is not None for record in records)
    return f"No record here {table.shown}.\n" if table.shown and finished else ""


class LoggedRuns(NamedTuple):
    """What the step logs of a comparison have told, a row for each run and component.

    Args:
        cells: name of run and component -> its cells.
        without: names of those without such a log.
        remarks: lines about records that are unsealed or can't be read.
    """

    cells: dict[str, list[Cell]]
    without: list[str]
    remarks: list[str]


def read_logged_runs(
    scene: FigureContext,
    components: Sequence[str],
    read: Callable[[ScoredRun, list[str], str], list[Cell] | None],
) -> LoggedRuns:
    """Read the step log of each run and component.

    Args:
        scene: the comparison.
        components: their names, "" for the only one.
        read: (run, tasks, component) -> cells, None without such a log; may raise a RecordError.
    """
    found = LoggedRuns({}, [], [])
    for row in scene.comparison.rows:
        found.remarks.extend(f"- {row.name}: {note}." for note in unsealed_note(row.unsealed))
        for run, component in product(scene.runs[row.name], components):
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


def weight_table(scene: FigureContext) -> Table | None:
    """Return each run's mean share of every task in the last updates."""
    rows, without, remarks = read_logged_runs(scene, _weighted_components(scene), _weight_cells)
    if not rows and not remarks:
        return None
    shown = len(scene.tasks)
    columns = [[cells[k] for cells in rows.values()] for k in range(shown + len(VERDICT))]
    notes = [
        f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, "
        f"the last {100 // LAST} % of the updates. A run without a step log (moves: –) has the "
        "mean weights of its last epochs instead. Share: |w| / Σ|w| in percent, mean over the "
        f"updates; equal weights are {100 / len(scene.tasks):.1f}. Moves: standard deviation of a "
        "share over the updates, mean over the tasks. Negative: part of all weights. Effective "
        "tasks: 1 / Σ of the squared mean shares. At bounds: share of "
        "TaskForce's actions beyond 0.95 of the bound."
    ]
    if without:
        notes.append(f"No weights in the record of {', '.join(without)}.")
    return Table(
        f"weights: {place_text(scene.comparison)}",
        "run",
        list(rows),
        Columns(list(scene.tasks.values()), columns[:shown]),
        Columns(VERDICT, columns[shown:]),
        notes + remarks,
    )


def _weighted_components(scene: FigureContext) -> list[str]:
    """Return the components that have weights in step logs or in epochs, "" for the only one."""
    first = [runs[0] for runs in scene.runs.values() if runs]
    epochs = [read_epochs(run.record.path / "metrics.jsonl", skip_damaged=True) for run in first]
    found = set(scene.components).union(*(components_of(lines[-1:], "weights") for lines in epochs))
    return sorted(found - {""}) or [""]


def _weight_cells(run: ScoredRun, tasks: list[str], component: str) -> list[Cell] | None:
    """Return a share per task, and the columns of the verdict; None where no file has weights.

    Raises:
        RecordError: a part of the step log, or metrics.jsonl in its place, is missing or damaged.
    """
    weights_NT = _tail(run, [f"weight/{task}" for task in tasks], component)
    if weights_NT is None:
        return _epoch_weight_cells(run, tasks, component)
    shares_NT = np.abs(shares(weights_NT))
    shares_T = nan_mean(shares_NT, axis=0)
    saturated = _tail(run, ["saturated"], component)
    at_bounds = None if saturated is None else 100 * float(np.nanmean(saturated))
    return [
        *(number_cell(100 * share, "{:.1f}") for share in shares_T),
        number_cell(100 * float(np.nanstd(shares_NT, axis=0).mean()), "{:.1f}"),
        number_cell(100 * float((weights_NT < 0).mean()), "{:.0f} %"),
        number_cell(1 / float((shares_T**2).sum()), "{:.1f}"),
        number_cell(at_bounds, "{:.0f} %"),
    ]


def _epoch_weight_cells(run: ScoredRun, tasks: list[str], component: str) -> list[Cell] | None:
    """Return the cells of a run without a step log: what the mean weights of its epochs tell.

    Raises:
        RecordError: metrics.jsonl is missing or damaged.
    """
    lines = read_epochs(run.record.path / "metrics.jsonl")
    keys = [f"{component}/{task}".lstrip("/") for task in tasks]
    weights_ET = np.stack([epoch_series(lines, "weights", key)[1] for key in keys], axis=1)
    shares_T = nan_mean(np.abs(shares(weights_ET[-(len(lines) // LAST or 1) :])), axis=0)
    if not np.isfinite(shares_T).all():
        return None
    return [
        *(number_cell(100 * share, "{:.1f}") for share in shares_T),
        *(NO_CELL, NO_CELL),
        number_cell(1 / float((shares_T**2).sum()), "{:.1f}"),
        NO_CELL,
    ]


def _tail(run: ScoredRun, columns: list[str], component: str) -> Array | None:
    if not find_parts(run.record.path / "steps" / component):
        return None
    found = step_series(run.record.path, columns, run.summary.get("steps"), component)
    return None if found is None else found[1][-(len(found[1]) // LAST or 1) :]


def triad_table(scene: FigureContext) -> Table | None:
    """Return how often each run's task gradients meet the conditions of PCGrad's theory."""
    rows, without, remarks = read_logged_runs(scene, scene.components, _triad_cells)
    if not rows and not remarks:
        return None
    columns = filled({head: [cells[k] for cells in rows.values()] for k, head in enumerate(TRIAD)})
    notes = [
        f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, all "
        "updates and pairs of tasks. Conflicts: share of the pairs whose gradients have a cosine "
        "below zero. Φ = 2|g₁||g₂| / (|g₁|² + |g₂|²), mean. Among the conflicts: (a) share with "
        "cos ≤ -Φ; ξ = (1 - cos²)|g₁ - g₂|² / |g₁ + g₂|², median; ξ ≤ 1 its share, which "
        "condition (b) implies."
        + " Curvature: median of H = 2 [L(θ') - L(θ) - ∇L(θ)ᵀ(θ' - θ)] of the sum of the losses "
        "over updates; H > 0: its share." * (TRIAD[-1] in columns)
    ]
    if without:
        notes.append(f"No Gram matrix in the step log of {', '.join(without)}.")
    return Table(
        f"triad: {place_text(scene.comparison)}",
        "run",
        list(rows),
        Columns(),
        Columns.of(columns),
        notes + remarks,
    )


def _triad_cells(run: ScoredRun, tasks: list[str], component: str) -> list[Cell] | None:
    """Return a cell for each head; None without a step log that has a Gram matrix.

    Raises:
        RecordError: a part of the log is missing or can't be read.
    """
    if len(tasks) < 2 or not find_parts(run.record.path / "steps" / component):
        return None
    read = (run.summary.get("steps"), component)
    found = step_series(run.record.path, pair_columns(tasks), *read)
    if found is None:
        return None
    means = triad_shares(pair_statistics(found[1], len(tasks)))
    measured = step_series(run.record.path, [CURVATURE], *read)
    curvature = np.empty(0) if measured is None else measured[1][np.isfinite(measured[1])]
    return [
        number_cell(100 * means.conflicts, "{:.1f} %"),
        number_cell(means.similarity, "{:.3f}"),
        number_cell(100 * means.dominated, "{:.1f} %"),
        number_cell(means.bound, "{:.2g}"),
        number_cell(100 * means.bounded, "{:.1f} %"),
        number_cell(float(np.median(curvature)) if curvature.size else None, "{:.2g}"),
        number_cell(100 * float((curvature > 0).mean()) if curvature.size else None, "{:.1f} %"),
    ]


def _one(make: Callable[[FigureContext], Table | None]) -> Callable[[FigureContext], list[Table]]:
    """Return a function that makes a list of the only table of a comparison."""
    return lambda scene: [table] if (table := make(scene)) else []


def _paired(label: str) -> RunTable:
    return RunTable(
        partial(paired_tables, label=label),
        methods=",".join(dict.fromkeys(("stl", label, usual_beside(label)))),
        seeds=FEWEST,
        explain=partial(explain_lack, label=label),
    )


RUN_TABLES = {
    "weights": RunTable(_one(weight_table), "has the weights of its updates", by_run=True),
    "agents": RunTable(_one(agent_table), "is of TaskForce", "taskforce", by_run=True),
    "costs": RunTable(_one(step_cost_table)),
    "triad": RunTable(
        _one(triad_table), "has a step log with the Gram matrix of two or more tasks", by_run=True
    ),
}
"""Table -> what it shows, without those against a method."""


def find_run_tables() -> dict[str, RunTable]:
    """Return what each table shows; there is one against every method."""
    return RUN_TABLES | {f"against_{method}": _paired(method) for method in find_choices("method")}
