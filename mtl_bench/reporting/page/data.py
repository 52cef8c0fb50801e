"""All that the report page shows, as one JSON value that depends on the records alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mtl_bench.records.reader import Record
from mtl_bench.reporting.layout import row_order
from mtl_bench.reporting.page.results import results_under, selections
from mtl_bench.reporting.page.runs import grid, run_data
from mtl_bench.reporting.page.series import Bins, Steps, read_epochs, read_steps
from mtl_bench.reporting.statistics import columns_of
from mtl_bench.reporting.tables import metric_header

CHARACTERS = 2_400_000
"""Most characters of all curves together, so that the page of sixty runs stays below 3 MB."""


@dataclass
class Curves:
    """The curves of one run: those over epochs and those over updates."""

    epochs: Bins
    steps: Steps


def page_data(records: Sequence[Record], profile: str, base: Path) -> dict[str, Any]:
    """Return the page's data.

    Args:
        records: all of one profile, as ``find_records`` returns them.
        profile: its name.
        base: folder of the page, from which records are linked.
    """
    curves = thin_out([_read_curves(record) for record in records], CHARACTERS)
    methods = {record.label: record.method for record in records}
    pairs = zip(records, curves, strict=True)
    return {
        "profile": profile,
        "labels": sorted(methods, key=lambda label: row_order(methods[label], label)),
        "datasets": [
            _dataset(name, list(members), base)
            for name, members in groupby(pairs, key=lambda pair: pair[0].dataset)
        ],
    }


def thin_out(curves: list[Curves], limit: int) -> list[Curves]:
    """Merge the bins of all runs alike until their JSON has at most ``limit`` characters.

    Curves that are short already are left as they are, so that very many runs may take more.
    """
    size = _characters(curves)
    while size > limit:
        curves = [
            Curves(
                run.epochs.halved(),
                run.steps._replace(curves=[bins.halved() for bins in run.steps.curves]),
            )
            for run in curves
        ]
        before, size = size, _characters(curves)
        if size == before:
            break
    return curves


def _characters(curves: list[Curves]) -> int:
    return sum(len(json.dumps(_curves(run), separators=(",", ":"))) for run in curves)


def _read_curves(record: Record) -> Curves:
    updates = record.summary.get("steps") if record.summary else None
    return Curves(
        read_epochs(record.path / "metrics.jsonl"), read_steps(record.path / "steps", updates)
    )


def _dataset(name: str, members: list[tuple[Record, Curves]], base: Path) -> dict[str, Any]:
    members = sorted(members, key=lambda pair: _order(pair[0]))
    records = [record for record, _ in members]
    runs = [run_data(record, base) | _curves(curves) for record, curves in members]
    return {
        "name": name,
        "kinds": sorted({run["kind"] for run in runs if run["kind"]}),
        "results": [results_under(records, rule) for rule in selections(records)],
        "tasks": _tasks(members),
        "grid": grid(records),
        "runs": runs,
    }


def _order(record: Record) -> tuple[Any, ...]:
    return row_order(record.method, record.label), record.seed, record.hash


def _curves(curves: Curves) -> dict[str, Any]:
    """Return the curves of a run; those over updates carry how many an entry stands for."""
    steps: dict[str, Any] = {}
    for bins in curves.steps.curves:
        for kind, tree in bins.tree().items():
            steps[kind] = {"width": bins.width, "bins": bins.sums_CB.shape[1], "curves": tree}
    epochs = curves.epochs
    return {
        "epochs": {
            "width": epochs.width,
            "bins": epochs.sums_CB.shape[1],
            "curves": epochs.tree(),
        },
        "steps": steps,
        "damaged": curves.steps.damaged,
        "missing": curves.steps.missing,
    }


def _tasks(members: list[tuple[Record, Curves]]) -> list[dict[str, Any]]:
    """Return name, label and metrics of every task; one no summary describes has its bare name."""
    tasks: dict[str, dict[str, Any]] = {}
    for record, _ in members:
        for column in columns_of(record.summary["tasks"]) if record.summary else ():
            task = tasks.setdefault(column.task, {"label": column.label, "metrics": {}})
            task["metrics"].setdefault(column.metric, metric_header(column, with_metric=True))
    for _, curves in members:
        for key in (key for bins in (curves.epochs, *curves.steps.curves) for key in bins.keys):
            for name in key[1:] if key[0] == "cosine" else key[1:2]:
                tasks.setdefault(name, {"label": name, "metrics": {}})
            if len(key) == 3 and key[0] != "cosine":
                tasks[key[1]]["metrics"].setdefault(key[2], f"{tasks[key[1]]['label']} {key[2]}")
    return [
        {"name": name, "label": task["label"], "metrics": list(task["metrics"].items())}
        for name, task in tasks.items()
    ]
