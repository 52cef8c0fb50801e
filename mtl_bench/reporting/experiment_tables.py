"""Tables of the paper's ablations, from records, with the published numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from mtl_bench.methods.taskforce.structure import (
    Structure,
    agents_cost,
    describe_raw,
    final_cost,
    short,
)
from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import (
    Baseline,
    Comparison,
    MethodRow,
    RelativeCost,
    ScoredRun,
    Setting,
)
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.experiments import (
    RAW,
    Experiment,
    Line,
    as_number,
    find_experiments,
    read_published,
)
from mtl_bench.reporting.notes import (
    MARKS,
    VERDICTS,
    agreement,
    cautions,
    conditions,
    costless,
    few_seeds,
    place_text,
    remarks,
    usual_seeds,
)
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.status import describe
from mtl_bench.reporting.table import (
    NO_CELL,
    Cell,
    Columns,
    Format,
    Table,
    number_cell,
    render,
)
from mtl_bench.reporting.tables import (
    cost_columns,
    exploded_column,
    filled,
    learning_columns,
    metric_columns,
    parameter_columns,
    score_columns,
)

Shown = tuple[str, Line, MethodRow | None]
"""Title, line and its row, if there is one."""


def render_experiment(
    name: str,
    records: Sequence[Record],
    *,
    selection: str | None = None,
    baseline: Baseline = "own",
    form: Format = "markdown",
    width: int = 100,
) -> str:
    """Return one table per setting that has a run of the experiment, "" if none has.

    Args:
        name: of ``find_experiments``.
        records: as ``find_records`` returns them.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        baseline: what Δm is against.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    experiment = find_experiments()[name]
    named = {line.label for line in experiment.lines}
    labels = named - {"stl"}
    own = [
        record
        for record in records
        if record.label in named or (record.label == "stl" and record.score.is_relative)
    ]
    runs = runs_under(own, selection)
    tables = []
    for found in compare(runs, baseline, records):
        members = [run for run in runs if run.setting == found.setting]
        if experiment.dataset not in (None, found.setting.dataset):
            continue
        if any(run.record.label in labels for run in members):
            tables.append(_table(experiment, found, members, records))
    return render(tables, form, width)


def _table(
    experiment: Experiment, found: Comparison, runs: list[ScoredRun], records: Sequence[Record]
) -> Table:
    setting = found.setting
    labels = {line.label for line in experiment.lines}
    found = replace(found, rows=tuple(row for row in found.rows if row.label in labels))
    beside = f", beside the paper's numbers for {experiment.where}" if experiment.where else ""
    shown = list(_shown(experiment, found))
    unfinished = _unfinished(records, setting)
    raw = _raw(runs)
    reference = next(line.title for line in experiment.lines if line.label == experiment.reference)
    rows = [row for _, _, row in shown]
    costs = _costs(shown, experiment.reference, reference)
    verdict = _verdict(experiment, shown, costs, unfinished, raw, found)
    meanings = "".join(f" {text}" for head, text in VERDICTS.items() if head in verdict.heads)
    priced = (
        f" Cost: training time of a step relative to the row {reference} with the same seed on the "
        "same device under the same load; CPU: likewise of the process's CPU time; medians over "
        "the number of seeds behind them."
    )
    return Table(
        f"{experiment.title}: {place_text(found)}{beside}",
        "",
        [title for title, _, _ in shown],
        metric_columns(found.columns, rows) if experiment.metrics else Columns(),
        verdict,
        [
            f"{conditions(found)} {MARKS}{meanings}{priced if 'cost, n' in verdict.heads else ''}",
            *few_seeds(rows),
            *(agreement(found) if experiment.metrics else []),
            *([experiment.note] if experiment.note else []),
            *_row_notes(shown, unfinished),
            *costless({title: own for (title, _, _), own in zip(shown, costs, strict=True) if own}),
            *cautions(found),
            *([f"- * computed, not run: {raw[1]}."] if raw and _has_raw(experiment) else []),
        ],
    )


def _unfinished(records: Sequence[Record], setting: Setting) -> dict[str, list[Record]]:
    """Return label -> records of a setting that have no results, as far as they tell their own."""
    found: dict[str, list[Record]] = {}
    for record in records:
        named = (record.settings.get(f"{g}.name") for g in ("protocol", "architecture"))
        wanted = ([setting.protocol], setting.architecture.split(" and "))
        if (
            record.summary is None
            and (record.profile, record.dataset) == (setting.profile, setting.dataset)
            and all(own in (None, *names) for own, names in zip(named, wanted, strict=True))
        ):
            found.setdefault(record.label, []).append(record)
    return found


def _row_notes(shown: Sequence[Shown], unfinished: dict[str, list[Record]]) -> Iterable[str]:
    """Yield what a reader must know about the rows, as the items of a list."""
    usual = usual_seeds([row for _, _, row in shown if row])
    for title, line, row in shown:
        if row is None:
            continue
        lacking = [f"seed {r.seed} {describe(r)}" for r in unfinished.get(line.label, [])]
        for note in (*row.notes, *remarks(row, usual), *lacking):
            yield f"- {title}: {note}."


def _shown(experiment: Experiment, found: Comparison) -> Iterable[Shown]:
    """Yield every line with its row; one with several configurations of a seed comes as several."""
    for line in experiment.lines:
        rows = [row for row in found.rows if row.label == line.label]
        for row in rows:
            yield f"{line.title} {row.hashes[0]}" if len(rows) > 1 else line.title, line, row
        if not rows:
            yield line.title, line, None


def _verdict(
    experiment: Experiment,
    shown: list[Shown],
    costs: Sequence[RelativeCost | None],
    unfinished: dict[str, list[Record]],
    raw: tuple[Cell, str] | None,
    found: Comparison,
) -> Columns:
    """Return the columns of the score, rank, n and cost, and those of the published table."""
    rows = [row for _, _, row in shown]
    scores = score_columns(found.score, rows)
    first = next(iter(scores.values()))
    priced = cost_columns("cost", costs)
    counts = []
    for i, (_, line, row) in enumerate(shown):
        counts.append(number_cell(len(row.seeds) if row else 0, "{}"))
        if line.label == RAW:
            counts[i], priced["cost"][i] = NO_CELL, raw[0] if raw else NO_CELL
        elif row is None:
            states = [describe(record) for record in unfinished.get(line.label, [])]
            first[i] = Cell(", ".join(states) or "missing")
    columns = scores | learning_columns(rows) | {"n": counts} | exploded_column(rows) | priced
    if not found.score.is_relative:  # networks of a data set have a table of their own for that
        columns |= parameter_columns(rows)
    if experiment.metrics:
        columns["MR ↓"] = [number_cell(row.mean_rank if row else None, "{:.2f}") for row in rows]
    columns = filled(columns)
    printed = _published(experiment, shown, found.setting.dataset)
    return Columns([*columns, *printed.heads], [*columns.values(), *printed.cells])


def _costs(shown: Sequence[Shown], label: str, title: str) -> list[RelativeCost | None]:
    """Return what a step of each line costs relative to the one line of a label."""
    references = [row for _, line, row in shown if line.label == label]
    reference = references[0] if len(references) == 1 else None
    times = reference.step_times if reference else {}
    return [cost(row.step_times, times, title) if row else None for _, _, row in shown]


def _times(ratio: float) -> str:
    return f"x{ratio:.2f}" if ratio < 1000 else f"x{short(ratio)}"


def _published(experiment: Experiment, shown: list[Shown], dataset: str) -> Columns:
    """Return the columns of the published table."""
    if experiment.published is None:
        return Columns()
    table = read_published(experiment.published)
    columns = []
    for head, usual in experiment.columns:
        key = usual.replace("{dataset}", dataset)
        texts = [table.get(line.printed, {}).get(key, "") for _, line, _ in shown]
        columns.append([_printed(text, cost=head.endswith("cost")) for text in texts])
    return Columns([head for head, _ in experiment.columns], columns)


def _printed(text: str, *, cost: bool) -> Cell:
    number = as_number(text)
    if number is None:
        return Cell(text) if text else NO_CELL
    return Cell(_times(number) if cost else text, number)


def _has_raw(experiment: Experiment) -> bool:
    return any(line.label == RAW for line in experiment.lines)


def _raw(runs: list[ScoredRun]) -> tuple[Cell, str] | None:
    """Return the cost of one agent that sees the raw gradients, and what it would need."""
    summary: dict[str, Any] = next(
        (r.summary for r in runs if r.summary.get("parameters") and r.record.method != "stl"), {}
    )
    shared = summary.get("parameters", {}).get("shared")
    if not shared:
        return None
    tasks, structure = len(summary["tasks"]), Structure("single", "joint", "global")
    ratio = agents_cost(tasks, shared + 1, structure).over(final_cost(tasks, structure))[-1]
    return (
        Cell(f"{_times(ratio)}*", ratio),
        f"operations of the agents, for {describe_raw(tasks, shared, structure)}",
    )
