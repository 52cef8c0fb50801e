"""Comparisons as plain values: the numbers of ``reporting.statistics``, the text of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Column, Comparison, ScoredRun, Setting, Spread
from mtl_bench.reporting.experiments import as_number, published_numbers
from mtl_bench.reporting.notes import (
    MARKS,
    cautions,
    conditions,
    costless,
    few_seeds,
    unsealed_note,
)
from mtl_bench.reporting.statistics import (
    compare_parts,
    counted_columns,
    rank_rows,
    runs_under,
)
from mtl_bench.reporting.table import NO_CELL, Cell, number_cell
from mtl_bench.reporting.tables import (
    DELTA_T,
    INTERVAL,
    SCORED,
    metric_columns,
    score_columns,
    spread_text,
)
from mtl_bench.scores import Score

Shown = dict[str, Any]
"""A cell: ``text`` and ``sd`` as the tables print them, ``value`` and ``spread`` as numbers, and
``mark``, "best" or "second", where the tables mark it.
"""


def selections(records: Sequence[Record]) -> list[str]:
    """Return the rules that a reader can choose from: "" for each record's own, then the others."""
    finished = [record.summary for record in records if record.summary is not None]
    own = {summary["selection"] for summary in finished}
    others = sorted({rule for summary in finished for rule in summary["metrics"]})
    return ["", *(rule for rule in others if own != {rule})]


def results_under(records: Sequence[Record], rule: str) -> dict[str, Any]:
    """Return the comparisons of one data set under one selection rule.

    Args:
        records: of one profile and data set.
        rule: selection rule, "" for each record's own.
    """
    runs = runs_under(records, rule or None)
    own = sorted({run.summary["selection"] for run in runs})
    finished = sum(record.summary is not None for record in records)
    found = compare_parts(runs, records=records)
    settings = [list(parts) for _, parts in groupby(found, key=lambda each: each.setting)]
    return {
        "rule": rule,
        "title": rule or f"{' and '.join(own)} (as configured)",
        "left_out": finished - len(runs),
        "comparisons": [
            _comparison(part, ranks)
            for parts in settings
            for ranks in [_ranks_of_all(parts)]
            for part in parts
        ],
    }


def own_metrics(run: ScoredRun, columns: Sequence[Column]) -> list[str]:
    """Return every metric of a run as the tables print it."""
    values = [run.metrics.get(column.task, {}).get(column.metric) for column in columns]
    return [
        spread_text(None if value is None else Spread(value, None), column.decimals)
        for column, value in zip(columns, values, strict=True)
    ]


def _ranks_of_all(parts: Sequence[Comparison]) -> dict[str, float | None]:
    """Return the mean ranks of methods and ablations of a setting among each other, by name.

    Empty where there are no ablations.
    """
    if parts[-1].part != "ablations":
        return {}
    rows = {row.name: row for part in parts for row in part.rows}
    ranked = rank_rows(parts[0].columns, list(rows.values()), parts[0].score, ablations=True)
    return {row.name: row.mean_rank for row in ranked}


def _comparison(found: Comparison, ranks: Mapping[str, float | None]) -> dict[str, Any]:
    heads, published = _published(found.setting)
    empty = [_shown(NO_CELL)] * len(heads)
    score, beside = _score_cells(found)
    rows = _rows(found, ranks, score, beside)
    return {
        "setting": _short(found.setting),
        "ablations": found.part == "ablations",
        "conditions": conditions(found),
        "marks": MARKS,
        "kind": found.setting.data_kind,
        "score": score_data(found.score),
        "heads": [_head(head, found.score) for head in beside],
        "columns": [_column(column) for column in found.columns],
        "tasks": list(_tasks(found).values()),
        "published": heads,
        "rows": [row | {"published": published.get(row["label"], empty)} for row in rows],
        "cautions": [
            text.removeprefix("- ")
            for text in (
                *few_seeds(found.rows),
                *costless({row.name: row.epoch_cost for row in found.rows}),
                *cautions(found),
            )
        ],
    }


def _score_cells(found: Comparison) -> tuple[list[Cell], dict[str, list[Cell]]]:
    """Return the cells of the score, and by head those of the columns beside it.

    Δt stands beside Δm where they differ: with one metric per task they are the same.
    """
    (_, score), *more = score_columns(found.score, found.rows).items()
    texts = [cell.text for cell in score]
    same = [head for head, cells in more if [cell.text for cell in cells] == texts]
    return score, {head: cells for head, cells in more if head not in same or head != DELTA_T}


def _rows(
    found: Comparison,
    ranks: Mapping[str, float | None],
    score: Sequence[Cell],
    beside: Mapping[str, Sequence[Cell]],
) -> list[dict[str, Any]]:
    """Return what is measured, marked as in the tables."""
    metrics = metric_columns(found.columns, found.rows).cells
    return [
        {
            "name": row.name,
            "label": row.label,
            "seeds": list(row.seeds),
            "by_seed": [_short_number(row.by_seed[seed]) for seed in row.seeds],
            "score": _shown(score[index]),
            "more": {head: _shown(cells[index]) for head, cells in beside.items()},
            "mean_rank": _number(row.mean_rank),
            "rank_of_all": _short_number(ranks.get(row.name)),
            "cost": _number(row.epoch_cost.ratio),
            "cost_cpu": _number(row.epoch_cost.cpu),
            "cost_seeds": row.epoch_cost.seeds,
            "exploded": len(row.exploded),
            "metrics": [_shown(column[index]) for column in metrics],
            "tasks": [_pair(row.by_task.get(task)) for task in _tasks(found)],
            "notes": [*row.notes, *unsealed_note(row.unsealed)],
        }
        for index, row in enumerate(found.rows)
    ]


def _tasks(found: Comparison) -> dict[str, str]:
    """Return name and label of each task that the score counts."""
    return {column.task: column.label for column in counted_columns(found.columns, found.score)}


def _pair(value: Spread | None) -> list[float | None]:
    """Return mean and deviation, as short as a page of thousands of rows needs them."""
    return [None, None] if value is None else [_short_number(value.mean), _short_number(value.sd)]


def _short_number(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _short(setting: Setting) -> str:
    return (
        f"protocol {setting.protocol}, {setting.architecture}, {setting.epochs} epochs, "
        f"selection {setting.selection}, {setting.data_kind} data ({setting.data_source})"
    )


def _column(column: Column) -> dict[str, str | bool]:
    return {
        "task": column.label,
        "metric": column.metric,
        "unit": column.unit,
        "higher": column.higher_is_better,
    }


def score_data(score: Score) -> dict[str, str | bool | int]:
    """Return what the page needs to show a score."""
    return {
        "label": score.label,
        "unit": score.unit,
        "heading": score.heading,
        "higher": score.higher_is_better,
        "relative": score.is_relative,
        "decimals": score.decimals,
        "about": "mean relative change of all metrics against our STL"
        if score.is_relative
        else "mean over the tasks",
    }


ABOUT = {
    INTERVAL: "bootstrap interval over seeds",
    "n of Δm": "number of seeds that STL has too",
    "Δt": "mean over tasks of the tasks' mean change, lower is better",
    "IQM": "interquartile mean over tasks and seeds",
}
"""Title of a column beside a score -> what it means."""


def _head(head: str, score: Score) -> dict[str, str | bool]:
    """Return title, unit and meaning of a column beside a score."""
    title, _, unit = head.partition(" [") if "[" in head else head.rpartition(" ")
    if head == SCORED:
        title, unit = "n of Δm", "seeds"
    if head == INTERVAL:
        title, unit = head, f"of {score.label if score.is_relative else 'the IQM'}"
    return {
        "key": head,
        "title": title,
        "unit": unit.replace("]", ""),
        "about": ABOUT[title],
        "interval": head == INTERVAL,
        "higher": head.endswith("↑"),
    }


def _shown(cell: Cell) -> Shown:
    mean, _, sd = cell.text.partition(" ± ")
    shown: Shown = {"text": mean, "value": cell.value}
    if cell.sd is not None:
        shown |= {"sd": sd, "spread": cell.sd}
    return shown | {"mark": cell.mark} if cell.mark else shown


def _number(value: float | None) -> Shown:
    return _shown(number_cell(value, "{:.2f}"))


def _published(setting: Setting) -> tuple[list[str], dict[str, list[Shown]]]:
    """Return headers and cells by label."""
    columns, rows = published_numbers(setting)
    cells = {
        label: [
            _shown(Cell(row[key], as_number(row[key])) if row.get(key) else NO_CELL)
            for _, key in columns
        ]
        for label, row in rows.items()
    }
    return [head.removeprefix("paper ") for head, _ in columns], cells
