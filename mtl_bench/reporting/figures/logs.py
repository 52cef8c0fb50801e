"""What the figures read of a record besides its summary: the step log and the epochs.

Legend of shape suffixes: N steps, K columns, E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.errors import RecordError
from mtl_bench.files import parse_json
from mtl_bench.records.steps import find_parts, missing_steps, open_part, span_of

Array = np.ndarray


def read_steps(
    record: Path, columns: Sequence[str], updates: int | None = None
) -> tuple[Array, Array] | None:
    """Return the steps, (N,), and the named columns, (N, K) in float64; None if some aren't there.

    Args:
        record: folder of the run.
        columns: names as ``StepLog`` writes them; nothing else is read from the disk.
        updates: of the whole run, as its summary says; None if it doesn't.

    Raises:
        RecordError: there is no step log, or a part of it is missing or can't be read.
    """
    from pyarrow import ArrowException

    parts = find_parts(record / "steps")
    if not parts:
        raise RecordError(f"{record} has no step log")
    tables = []
    for part in parts:
        try:
            with open_part(part) as file:
                if not set(columns) <= set(file.schema_arrow.names):
                    return None
                tables.append(file.read(columns=["step", *columns]))
        except (OSError, ArrowException) as error:
            reason = " ".join(str(error).split())
            raise RecordError(f"{part} can't be read: {reason}") from error
    steps = [table["step"].to_numpy() for table in tables]
    if missing := missing_steps([span_of(steps_R) for steps_R in steps], updates):
        raise RecordError(f"{record / 'steps'} lacks updates {missing}")
    steps_N = np.concatenate(steps)
    values_NK = [
        np.stack([np.asarray(table[name], dtype=np.float64) for name in columns], axis=1)
        for table in tables
    ]
    return steps_N, np.concatenate(values_NK)


def read_epochs(record: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``.

    Raises:
        RecordError: the file is missing or a line of it can't be read.
    """
    path = record / "metrics.jsonl"
    try:
        lines = [parse_json(line) for line in path.read_bytes().splitlines()]
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} can't be read: {error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise RecordError(f"{path} can't be read: a line of it is no object")
    return lines


def epoch_series(lines: Sequence[dict[str, Any]], *keys: str) -> tuple[Array, Array]:
    """Return the epochs and the numbers under ``keys``, (E,) each; NaN for what isn't finite."""
    values = []
    for line in lines:
        value: Any = line
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        number = isinstance(value, int | float) and math.isfinite(value)
        values.append(value if number else np.nan)
    epochs = [line.get("epoch", index) for index, line in enumerate(lines, start=1)]
    return np.array(epochs), np.array(values, dtype=np.float64)
