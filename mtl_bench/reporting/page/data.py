"""All that the report page shows, as one JSON value that depends on the records alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

from mtl_bench.records.reader import Record
from mtl_bench.records.steps import find_components
from mtl_bench.reporting.display import row_order
from mtl_bench.reporting.figures import looks
from mtl_bench.reporting.page.results import results_under, score_data, selections
from mtl_bench.reporting.page.runs import FACTS, configurations, grid, run_data, run_files
from mtl_bench.reporting.page.series import Bins, Steps, epoch_curves, step_curves
from mtl_bench.reporting.statistics import columns_of
from mtl_bench.reporting.table_latex import LATEX
from mtl_bench.reporting.tables import metric_header

CHARACTERS = 2_200_000
"""Most characters of all curves together, so that the page of sixty runs stays below 3 MB."""

MOST = 300
"""Most runs with curves, and most rows of a data set that are shown under every selection rule; a
screen shows far fewer at a time."""

LINES = (*(f"--line-{number}" for number in (1, 0, 2, 3, 4, 5)), "--ink")
SHADES = {looks.GREY: "--muted", **dict(zip(looks.PALETTE, LINES, strict=True))}
"""Colour of the figures -> property of the page's style, whose values are for light and dark."""

DASHES = {
    looks.NAMED_DASHES[name]: pixels
    for name, pixels in {
        "solid": [],
        "dashed": [7, 4],
        "dotted": [2, 3],
        "dash_dot": [10, 3, 2, 3],
        "long_dash": [12, 5],
        "sparse": [2, 7],
        "dash_dot_dot": [10, 3, 2, 3, 2, 3],
        "two_dash": [14, 4, 5, 4],
    }.items()
}

MARKS = dict.fromkeys("oh8H", "circle") | {
    **dict.fromkeys("sp", "square"),
    **dict.fromkeys("^v<>", "triangle"),
    **dict.fromkeys("Dd", "diamond"),
    **dict.fromkeys("PX*", "cross"),
}
"""Marker of the figures -> the nearest of the page's five."""


def page_looks(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return label -> colour, dash and mark of the page."""
    return {label: _page_look(look) for label, look in looks.method_looks(labels).items()}


def _page_look(look: looks.Look) -> dict[str, Any]:
    return {
        "colour": SHADES[look.colour],
        "dash": DASHES[look.dash],
        "mark": MARKS[look.marker],
        "width": 1.75,
    }


@dataclass
class Curves:
    """The curves of one run: those over epochs, and those over updates of each component."""

    epochs: Bins
    steps: dict[str, Steps]

    @property
    def points(self) -> int:
        """Bins of each kind of curve together."""
        return sum(bins.sums_CB.shape[1] for bins in self.bins)

    @property
    def bins(self) -> list[Bins]:
        """All curves."""
        return [self.epochs, *(bins for steps in self.steps.values() for bins in steps.curves)]


def page_data(records: Sequence[Record], profile: str, base: Path) -> dict[str, Any]:
    """Return the page's data.

    Args:
        records: all of one profile, as ``find_records`` returns them.
        profile: its name.
        base: folder of the page, from which records are linked.
    """
    order = first_runs(records)[:MOST]
    curves = thin_out(_read_what_fits([records[number] for number in order]), CHARACTERS)
    found = dict(zip(order, curves, strict=False))
    methods = {record.label: record.method for record in records}
    labels = sorted(methods, key=lambda label: row_order(methods[label], label))
    pairs = [(record, found.get(number)) for number, record in enumerate(records)]
    return {
        "profile": profile,
        "labels": labels,
        "looks": page_looks(labels),
        "lines": [_page_look(look) for look in looks.line_looks()],
        "left_out": len(records) - len(found),
        "facts": FACTS,
        "latex": LATEX,
        "datasets": [
            _dataset(name, list(members), base)
            for name, members in groupby(pairs, key=lambda pair: pair[0].dataset)
        ],
    }


def first_runs(records: Sequence[Record]) -> list[int]:
    """Return the numbers of the records: the first of every label, then the second ones, and so on.

    Args:
        records: as ``find_records`` returns them, so that the seeds of a label rise.
    """
    seen = Counter[tuple[str, str]]()
    turns = []
    for record in records:
        place = record.dataset, record.label
        turns.append(seen[place])
        seen[place] += 1
    return sorted(range(len(records)), key=turns.__getitem__)


def _read_what_fits(records: Sequence[Record]) -> list[Curves]:
    """Return the curves of the first records, of no more than fit into the page at their thinnest.

    Reading is what takes the time.
    """
    curves, size = list[Curves](), 0
    for record in records:
        curves.append(_read_curves(record))
        size += _characters(_thinnest(curves[-1]))
        if size > CHARACTERS:
            break
    return curves


def thin_out(curves: list[Curves], limit: int) -> list[Curves]:
    """Merge the bins of all runs alike until their JSON has at most ``limit`` characters.

    Curves that are short already are left as they are; where that is not enough, all runs but the
    first are left out from the end.
    """
    sizes = [_characters(run) for run in curves]
    while sum(sizes) > limit:
        curves = [_halved(run) for run in curves]
        before, sizes = sizes, [_characters(run) for run in curves]
        if sizes == before:
            break
    kept = sum(end <= limit for end in accumulate(sizes))
    return curves[: max(kept, 1)]


def _halved(run: Curves) -> Curves:
    steps = {
        component: own._replace(curves=[bins.halved() for bins in own.curves])
        for component, own in run.steps.items()
    }
    return Curves(run.epochs.halved(), steps)


def _thinnest(run: Curves) -> Curves:
    halved = _halved(run)
    while halved.points < run.points:
        run, halved = halved, _halved(halved)
    return run


def _characters(run: Curves) -> int:
    return len(json.dumps(_curves(run), separators=(",", ":")))


def _read_curves(record: Record) -> Curves:
    updates = record.summary.get("steps") if record.summary else None
    folder = record.path / "steps"
    return Curves(
        epoch_curves(record.path / "metrics.jsonl", record.score.key),
        {name: step_curves(folder / name, updates) for name in find_components(folder)},
    )


def _dataset(name: str, members: list[tuple[Record, Curves | None]], base: Path) -> dict[str, Any]:
    members = sorted(members, key=lambda pair: _order(pair[0]))
    records = [record for record, _ in members]
    headers: list[list[str]] = []
    numbers, settings = configurations(records)
    runs = [
        run_data(record, base, headers)
        | {"configuration": number}
        | (run_files(record) | _curves(curves) if curves else {})
        for (record, curves), number in zip(members, numbers, strict=True)
    ]
    own, *rules = selections(records)
    results = [results_under(records, own)]
    if sum(len(found["rows"]) for found in results[0]["comparisons"]) <= MOST:
        results += [results_under(records, rule) for rule in rules]
        rules = []
    return {
        "name": name,
        "kinds": sorted({run["kind"] for run in runs if run["kind"]}),
        "results": results,
        "left_out_rules": rules,
        "headers": headers,
        "score": score_data(records[0].score),
        "tasks": _tasks(members),
        "grid": grid(records),
        "settings": settings,
        "runs": runs,
    }


def _order(record: Record) -> tuple[Any, ...]:
    return row_order(record.method, record.label), record.seed, record.hash


def _curves(curves: Curves) -> dict[str, Any]:
    """Return the curves of a run; those over updates carry how many an entry stands for."""
    steps = {
        component: {
            kind: {"width": bins.width, "bins": bins.sums_CB.shape[1], "curves": tree}
            for bins in own.curves
            for kind, tree in bins.tree().items()
        }
        for component, own in curves.steps.items()
    }
    epochs = curves.epochs
    return {
        "epochs": {
            "width": epochs.width,
            "bins": epochs.sums_CB.shape[1],
            "curves": epochs.tree(),
        },
        "steps": steps,
        "damaged": [
            f"{name}/{p}".lstrip("/") for name, s in curves.steps.items() for p in s.damaged
        ],
        "missing": ", ".join(
            f"{s.missing} {name}".strip() for name, s in curves.steps.items() if s.missing
        ),
    }


def _tasks(members: list[tuple[Record, Curves | None]]) -> list[dict[str, Any]]:
    """Return name, label and metrics of every task; one no summary describes has its bare name."""
    tasks: dict[str, dict[str, Any]] = {}
    for record, _ in members:
        for column in columns_of(record.summary["tasks"]) if record.summary else ():
            task = tasks.setdefault(column.task, {"label": column.label, "metrics": {}})
            task["metrics"].setdefault(column.metric, metric_header(column, with_metric=True))
    for _, curves in members:
        every = curves.bins if curves else ()
        for key in (key for bins in every for key in bins.keys if key[0] not in ("score", "clock")):
            for name in key[1:] if key[0] == "cosine" else key[1:2]:
                tasks.setdefault(name, {"label": name, "metrics": {}})
            if key[0] in ("validation", "test"):
                tasks[key[1]]["metrics"].setdefault(key[2], f"{tasks[key[1]]['label']} {key[2]}")
    return [
        {"name": name, "label": task["label"], "metrics": list(task["metrics"].items())}
        for name, task in tasks.items()
    ]
