"""The step log and the epochs of a record as arrays.

Legend of shape suffixes: N steps, K columns, E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.records.steps import read_steps

Array = np.ndarray


def step_series(
    record: Path, columns: Sequence[str], updates: int | None = None, component: str = ""
) -> tuple[Array, Array] | None:
    """Return the steps, (N,), and the named columns, (N, K) in float64; None if some aren't there.

    Args:
        record: folder of the run.
        columns: names as ``StepLog`` writes them; nothing else is read from the disk.
        updates: of the whole run, as its summary says; None if it doesn't.
        component: whose updates are read, "" for the only one.

    Raises:
        RecordError: there is no step log, or a part of it is missing or can't be read.
    """
    table = read_steps(record / "steps" / component, columns, updates)
    if table is None:
        return None
    values = [np.asarray(table[name], dtype=np.float64) for name in columns]
    return table["step"].to_numpy(), np.stack(values, axis=1)


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
