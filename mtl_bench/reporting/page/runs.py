"""Every run as plain values: what it is, how far it got, where its record lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mtl_bench.files import parse_json, printable
from mtl_bench.records.reader import Record
from mtl_bench.reporting.layout import row_order
from mtl_bench.reporting.page.results import own_metrics
from mtl_bench.reporting.statistics import columns_of, runs_under
from mtl_bench.reporting.status import describe


def run_data(record: Record, base: Path) -> dict[str, Any]:
    """Return what the page tells of a run beside its curves.

    Args:
        record: the run.
        base: folder of the page, from which the record is linked.
    """
    environment = _text(record.path / "environment.json")
    summary = record.summary or {}
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
        "kind": _kind(summary, environment),
        "facts": _facts(summary),
        "metrics": own_metrics(runs[0], columns_of(summary["tasks"])) if runs else [],
        "config": _text(record.path / "config.yaml"),
        "environment": environment,
    }


def grid(records: Sequence[Record]) -> dict[str, Any]:
    """Return labels, seeds and the numbers of the runs in each cell; an empty cell is missing.

    The same rule as ``mtl-bench status``: every method is expected to have every seed of its data
    set, and STL always has a row.
    """
    methods = {record.label: record.method for record in records} | {"stl": "stl"}
    labels = sorted(methods, key=lambda label: row_order(methods[label], label))
    seeds = sorted({record.seed for record in records})
    places: dict[tuple[str, int], list[int]] = {}
    for number, record in enumerate(records):
        places.setdefault((record.label, record.seed), []).append(number)
    cells = [[places.get((label, seed), []) for seed in seeds] for label in labels]
    return {"labels": labels, "seeds": seeds, "cells": cells}


def _text(path: Path) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    return "\n".join(map(printable, lines))


def _kind(summary: dict[str, Any], environment: str | None) -> str | None:
    """Return ``real`` or ``procedural``; an unfinished run has it in its environment alone."""
    try:
        data = summary["data"] if summary else parse_json((environment or "").encode())["data"]
        return str(data["kind"])
    except (ValueError, TypeError, KeyError):
        return None


def _facts(summary: dict[str, Any]) -> list[list[str]]:
    """Return name and text of what a finished run tells about itself."""
    if not summary:
        return []
    parameters, memory = summary.get("parameters") or {}, summary.get("peak_memory_bytes")
    facts = {
        "protocol": summary["protocol"],
        "architecture": summary["architecture"],
        "selection": summary["selection"],
        "epochs": f"{summary['epochs']:,}",
        "updates": _whole(summary.get("steps")),
        "parameters": _whole(parameters.get("total")),
        "shared parameters": _whole(parameters.get("shared")),
        "device": summary["device"],
        "median training epoch": _seconds(summary["seconds"].get("train_epoch")),
        "peak memory": f"{memory / 2**20:,.0f} MiB" if memory else None,
        "no training label of": ", ".join(summary.get("untrained", [])),
        "data": f"{summary['data'].get('kind')} ({summary['data'].get('source')})",
    }
    return [[name, text] for name, text in facts.items() if text]


def _whole(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g} s"
