"""Tables of the paper's ablations, from records, with the published numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mtl_bench.records.reader import Record
from mtl_bench.reporting.experiments import EXPERIMENTS, Experiment, Line, read_published
from mtl_bench.reporting.layout import NOTHING, markdown_table
from mtl_bench.reporting.statistics import Comparison, Row, Run, compare, runs_under
from mtl_bench.reporting.status import describe
from mtl_bench.reporting.tables import conditions, spread_text, wrap
from mtl_bench.taskforce.structure import Structure, agents_cost, describe_raw, final_cost, short

Shown = tuple[str, Line, Row | None]
"""Title, line and its row, if there is one."""


def render_experiment(
    name: str, records: Sequence[Record], *, selection: str | None = None, width: int = 100
) -> str:
    """Return one Markdown table per setting that has a run of the experiment.

    Args:
        name: of ``EXPERIMENTS``.
        records: as ``find_records`` returns them.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        width: terminal cells that text below a table may fill.
    """
    experiment = EXPERIMENTS[name]
    labels = {line.label for line in experiment.lines} - {"stl"}
    runs = runs_under(records, selection)
    blocks = []
    for found in compare(runs):
        members = [run for run in runs if run.setting == found.setting]
        if any(run.record.label in labels for run in members):
            blocks.extend(_blocks(name, found, members, records, width))
    if not blocks:
        blocks = [
            f"There is no finished run of {name} here. Start them with: mtl-bench train -m "
            f"experiment={name} dataset=qm9 profile=mini seed=0,1,2"
        ]
    return "\n\n".join(blocks) + "\n"


def _blocks(
    name: str, found: Comparison, runs: list[Run], records: Sequence[Record], width: int
) -> list[str]:
    experiment, setting = EXPERIMENTS[name], found.setting
    beside = f", beside the paper's numbers for {experiment.where}" if experiment.where else ""
    shown = list(_shown(experiment, found))
    unfinished = {
        record.label: describe(record)
        for record in records
        if record.summary is None
        and (record.profile, record.dataset) == (setting.profile, setting.dataset)
    }
    raw = _raw(runs)
    columns: list[tuple[str, Sequence[str]]] = [
        ("", [title for title, _, _ in shown]),
        *_measured(experiment, shown, unfinished, raw),
        *_published(experiment, shown, setting.dataset),
    ]
    reference = next(line.title for line in experiment.lines if line.label == experiment.reference)
    below = [
        f"{conditions(found)} Cost: median training time of a step relative to the row "
        f"{reference} on the same device.",
        *([experiment.note] if experiment.note else []),
        *(f"- {title}: {note}." for title, _, row in shown if row for note in row.notes),
        *([f"- * computed, not run: {raw[1]}."] if raw and _has_raw(experiment) else []),
    ]
    return [
        f"## {name}: {setting.profile} / {setting.dataset}{beside}",
        "\n".join(markdown_table(columns)),
        "\n".join(wrap(line, width) for line in below),
    ]


def _shown(experiment: Experiment, found: Comparison) -> Iterable[Shown]:
    """Yield every line with its row; one with several configurations of a seed comes as several."""
    for line in experiment.lines:
        rows = [row for row in found.rows if row.name.partition(" ")[0] == line.label]
        for row in rows:
            _, _, digest = row.name.partition(" ")
            yield f"{line.title} {digest}".rstrip(), line, row
        if not rows:
            yield line.title, line, None


def _measured(
    experiment: Experiment,
    shown: list[Shown],
    unfinished: dict[str, str],
    raw: tuple[str, str] | None,
) -> list[tuple[str, Sequence[str]]]:
    """Return the columns of Δm, Δt, n and cost."""
    references = [row for _, line, row in shown if line.label == experiment.reference]
    reference = references[0] if len(references) == 1 else None
    cells = []
    for _, line, row in shown:
        if row is not None:
            deltas = [spread_text(value, 2, signed=True) for value in (row.delta_m, row.delta_t)]
            cells.append((*deltas, str(len(row.seeds)), _cost(row, reference)))
        elif line.label is None:
            cells.append((NOTHING, NOTHING, NOTHING, raw[0] if raw else NOTHING))
        else:
            cells.append((unfinished.get(line.label, "missing"), NOTHING, "0", NOTHING))
    heads = ("Δm [%] ↓", "Δt [%] ↓", "n", "cost")
    return [(head, [row[i] for row in cells]) for i, head in enumerate(heads)]


def _cost(row: Row, reference: Row | None) -> str:
    if reference is None or row.device is None or row.device != reference.device:
        return NOTHING
    if not row.step_seconds or not reference.step_seconds:
        return NOTHING
    return _times(row.step_seconds / reference.step_seconds)


def _times(ratio: float) -> str:
    return f"x{ratio:.2f}" if ratio < 1000 else f"x{short(ratio)}"


def _published(
    experiment: Experiment, shown: list[Shown], dataset: str
) -> list[tuple[str, Sequence[str]]]:
    """Return the columns of the published table."""
    if experiment.file is None:
        return []
    table = read_published(experiment.file)
    columns: list[tuple[str, Sequence[str]]] = []
    for index, (head, usual) in enumerate(experiment.published):
        cells = []
        for _, line, _ in shown:
            key = (line.columns[index] if line.columns else usual).replace("DATASET", dataset)
            text = "" if line.row is None else table[line.row].get(key, "")
            cells.append(_printed(text, cost=head.endswith("cost")))
        columns.append((head, cells))
    return columns


def _printed(text: str, *, cost: bool) -> str:
    if not text:
        return NOTHING
    return _times(float(text)) if cost else text


def _has_raw(experiment: Experiment) -> bool:
    return any(line.label is None for line in experiment.lines)


def _raw(runs: list[Run]) -> tuple[str, str] | None:
    """Return the cost of one agent that sees the raw gradients, and what it would need."""
    summary: dict[str, Any] = next(
        (r.summary for r in runs if r.summary.get("parameters") and r.record.method != "stl"), {}
    )
    shared = summary.get("parameters", {}).get("shared")
    if not shared:
        return None
    tasks, structure = len(summary["tasks"]), Structure("single", "joint", "global")
    cost = agents_cost(tasks, shared + 1, structure).over(final_cost(tasks, structure))
    return (
        f"{_times(cost[-1])}*",
        f"operations of the agents, for {describe_raw(tasks, shared, structure)}",
    )
