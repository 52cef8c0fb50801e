"""What a repetition of a run must give again, bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mtl_bench.errors import RecordError
from mtl_bench.records.epochs import read_epochs
from mtl_bench.records.steps import find_parts, read_part
from mtl_bench.training.checkpoint import read_checkpoint

VOLATILE = ("seconds", "peak_memory_bytes", "step_log_lost")


def fingerprint(record: Path) -> dict[str, Any]:
    """Return everything of a finished record that does not depend on times.

    Returns:
        ``summary``, ``metrics``, ``rows`` (None where a part of the step log is lost: the summary
        tells so, or reading it does) and ``state``, a hash of the last checkpoint's tensors and
        numbers (None where it was damaged after the end).
    """
    summary = json.loads((record / "summary.json").read_text())
    lost = summary["step_log_lost"]
    lines = read_epochs(record / "metrics.jsonl")
    return {
        "summary": {key: value for key, value in summary.items() if key not in VOLATILE},
        "metrics": [{k: v for k, v in line.items() if k not in VOLATILE} for line in lines],
        "rows": None if lost else _rows(record / "steps"),
        "state": _state(record / "checkpoint"),
    }


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs; what one side has lost is not compared."""
    return [
        name
        for name, value in first.items()
        if None not in (value, second[name]) and value != second[name]
    ]


def _state(folder: Path) -> str | None:
    try:
        content = read_checkpoint(folder / "last.pt")
    except Exception:  # whatever damage may lead to; a run that goes on names it
        return None
    digest = hashlib.sha256()
    _hash({key: value for key, value in content["state"].items() if key != "step_log"}, digest)
    return digest.hexdigest()


def _rows(folder: Path) -> dict[str, list[str]] | None:
    rows: dict[str, list[str]] = {}
    for path in find_parts(folder):
        try:
            columns = read_part(path).to_pydict()
        except RecordError:
            return None
        for name, values in columns.items():
            if not name.startswith("seconds"):
                rows.setdefault(name, []).extend(map(repr, values))
    return rows


def _hash(value: Any, digest: Any) -> None:  # noqa: ANN401 - nested state; a hash object
    if isinstance(value, torch.Tensor):
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in value:
            if key not in (*VOLATILE, "total_seconds"):
                digest.update(str(key).encode())
                _hash(value[key], digest)
    elif isinstance(value, list | tuple):
        for inner in value:
            _hash(inner, digest)
    else:
        digest.update(repr(value).encode())
