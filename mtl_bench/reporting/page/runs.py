"""Every run as plain values: what it is, how far it got, where its record lies."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mtl_bench.files import printable, read_json
from mtl_bench.records.reader import Record
from mtl_bench.reporting.page.results import own_metrics
from mtl_bench.reporting.statistics import columns_of, runs_under
from mtl_bench.reporting.status import describe, wanted_labels
from mtl_bench.reporting.tables import metric_header

FACTS = (
    *("protocol", "architecture", "selection", "epochs", "updates", "parameters"),
    *("shared parameters", "device", "median training epoch", "its CPU time"),
    *("its time without a core", "peak memory", "no training label of", "data"),
)
"""Names of what a finished run tells about itself."""


def run_data(record: Record, base: Path, headers: list[list[str]]) -> dict[str, Any]:
    """Return what the page tells of every run.

    Args:
        record: the run.
        base: folder of the page, from which the record is linked.
        headers: of metrics that runs before had; those of this one are added if they are others.
    """
    summary = record.summary or {}
    columns = columns_of(summary["tasks"]) if summary else []
    own = [metric_header(column, with_metric=True) for column in columns]
    if own not in headers:
        headers.append(own)
    runs = runs_under([record], None)
    relative = os.path.relpath(record.path, base)
    return {
        "label": record.label,
        "seed": record.seed,
        "hash": record.hash,
        "state": record.state,
        "progress": describe(record),
        "error": record.error,
        "folder": printable("/".join(record.path.parts[-4:])),
        "link": quote(os.fsencode(relative)) + "/",
        "kind": _kind(record),
        "facts": _facts(summary),
        "headers": headers.index(own),
        "metrics": own_metrics(runs[0], columns) if runs else [],
    }


def run_files(record: Record) -> dict[str, str | None]:
    """Return the text of a record's files that the page shows, None for one that is missing."""
    return {
        "config": _text(record.path / "config.yaml"),
        "environment": _text(record.path / "environment.json"),
    }


def grid(records: Sequence[Record]) -> dict[str, Any]:
    """Return labels, seeds and the numbers of the runs in each cell; an empty cell is missing.

    The same rule as ``mtl-bench status``: every method is expected to have every seed of its data
    set, and STL has a row where Δm needs it.
    """
    labels = wanted_labels(records)
    seeds = sorted({record.seed for record in records})
    places: dict[tuple[str, int], list[int]] = {}
    for number, record in enumerate(records):
        places.setdefault((record.label, record.seed), []).append(number)
    cells = [[places.get((label, seed), []) for seed in seeds] for label in labels]
    return {"labels": labels, "seeds": seeds, "cells": cells}


def configurations(records: Sequence[Record]) -> tuple[list[int], dict[str, Any]]:
    """Return a number for each run, the same for those that differ in their seed alone, and these.

    As in the rows of tables no configuration has a seed twice. Of all there are the usual settings,
    each the text of its value by dotted key, and of each by number those that are not the usual
    ones; None stands for a key that is not there.
    """
    numbers = dict[str, int]()
    found = list[dict[str, str]]()
    own = list[int]()
    seen = Counter[tuple[str, int]]()
    for record in records:
        settings = {printable(key): _value(value) for key, value in record.settings.items()}
        alike = json.dumps([record.label, settings], sort_keys=True)
        key = f"{alike}{seen[alike, record.seed]}"
        seen[alike, record.seed] += 1
        if key not in numbers:
            numbers[key] = len(found)
            found.append(settings)
        own.append(numbers[key])
    keys = sorted({key for settings in found for key in settings})
    usual = {key: Counter(each.get(key) for each in found).most_common(1)[0][0] for key in keys}
    others = [{key: each.get(key) for key in keys if each.get(key) != usual[key]} for each in found]
    return own, {"usual": usual, "others": others}


def _value(value: object) -> str:
    return printable(json.dumps(value, ensure_ascii=False))


def _text(path: Path) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    return "\n".join(map(printable, lines))


def _kind(record: Record) -> str | None:
    """Return ``real`` or ``procedural``; an unfinished run has it in its environment alone."""
    try:
        told = record.summary or read_json(record.path / "environment.json")
        return str(told["data"]["kind"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _facts(summary: dict[str, Any]) -> list[str | None]:
    """Return the texts of what a finished run tells about itself, in the order of ``FACTS``."""
    if not summary:
        return []
    parameters, memory = summary.get("parameters") or {}, summary.get("peak_memory_bytes")
    seconds = summary["seconds"]
    return [
        summary["protocol"],
        summary["architecture"],
        summary["selection"],
        f"{summary['epochs']:,}",
        _whole(summary.get("steps")),
        _whole(parameters.get("total")),
        _whole(parameters.get("shared")),
        summary["device"],
        *(_seconds(seconds.get(f"train_epoch{end}")) for end in ("", "_cpu", "_waiting")),
        f"{memory / 2**20:,.0f} MiB" if memory else None,
        ", ".join(summary.get("untrained", [])) or None,
        f"{summary['data'].get('kind')} ({summary['data'].get('source')})",
    ]


def _whole(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g} s"
