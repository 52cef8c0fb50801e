"""Stored numbers against those of today."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.golden.kernels import fingerprint

Numbers = dict[str, dict[str, Any]]
"""Cell -> quantity -> numbers."""

FILE = Path(__file__).with_name("goldens.json")

FIRST_LOSSES = 1e-3
"""Relative difference that other kernels can make in the losses of the first step."""

FIRST_WEIGHTS = 0.05
"""The same of its weights: a small eigenvalue of the Gram matrix magnifies its rounding."""

LATER_LOSSES = {"qm9": 1e-3, "nyuv2": 0.5, "cityscapes": 0.5}
"""The same of the losses of all later steps; batch norm of few pixels magnifies it at every one."""


def load() -> dict[str, Any]:
    """Return what is stored: ``fingerprint`` and data set -> cell -> numbers."""
    stored: dict[str, Any] = json.loads(FILE.read_text())
    return stored


def save(numbers: dict[str, Any]) -> None:
    """Store data set -> cell -> numbers, a quantity a line, with today's fingerprint."""
    lines = ["{", f'"fingerprint": {json.dumps(fingerprint())}']
    for dataset, cells in numbers.items():
        lines[-1] += ","
        lines += [f'"{dataset}": {{']
        for cell, quantities in cells.items():
            lines += [f' "{cell}": {{']
            lines += [
                f'  "{name}": {json.dumps(value, separators=(",", ":"), allow_nan=False)},'
                for name, value in quantities.items()
            ]
            lines[-1] = lines[-1][:-1]
            lines += [" },"]
        lines[-1] = " }"
        lines += ["}"]
    FILE.write_text("\n".join([*lines, "}"]) + "\n")


def differences(dataset: str, stored: Numbers, found: Numbers, *, exact: bool) -> list[str]:
    """Return where the numbers of a data set's cells differ, at most one line a cell and quantity.

    Args:
        dataset: its name.
        stored: cell -> quantity -> numbers.
        found: the same of today; what it has beside the stored ones is not looked at.
        exact: whether every bit must agree. Otherwise the tasks must agree, the losses and the
            first weights must agree as far as rounding lets them, and the metrics must be finite.
    """
    faults = []
    for cell, quantities in stored.items():
        for name, value in quantities.items():
            ours = found.get(cell, {}).get(name)
            same = exact or name == "tasks"
            fault = next(
                _unequal(value, ours) if same else _unlike(dataset, name, value, ours), None
            )
            if fault is not None:
                faults.append(f"{cell}: {name}{fault}")
    return faults


def _unequal(stored: Any, found: Any, where: str = "") -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(found, dict):
        for key, value in stored.items():
            yield from _unequal(value, found.get(key), f"{where}.{key}")
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for number, (value, other) in enumerate(zip(stored, found, strict=True)):
            yield from _unequal(value, other, f"{where}[{number}]")
    elif type(stored) is not type(found) or stored != found:
        yield f"{where} is {found!r}, stored is {stored!r}"


def _unlike(dataset: str, name: str, stored: Any, found: Any) -> Iterator[str]:
    if name == "loss_ST":
        yield from _far(stored[:1], found[:1], FIRST_LOSSES)
        yield from _far(stored, found, LATER_LOSSES[dataset])
    elif name == "weight_ST":
        yield from _far(stored[:1], found[:1], FIRST_WEIGHTS)
    elif name in ("last_epoch", "metrics"):
        yield from _infinite(stored, found)


def _far(stored: list[list[float]], found: list[list[float]], tolerance: float) -> Iterator[str]:
    if len(stored) != len(found):
        yield f" has {len(found)} steps, stored are {len(stored)}"
    for step, rows in enumerate(zip(stored, found, strict=False)):
        for first, second in zip(*rows, strict=True):
            if not math.isclose(first, second, rel_tol=tolerance, abs_tol=1e-3 * tolerance):
                yield f"[{step}] is {rows[1]!r}, stored is {rows[0]!r}"


def _infinite(stored: Any, found: Any, where: str = "") -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(found, dict):
        for key, value in stored.items():
            yield from _infinite(value, found.get(key), f"{where}.{key}")
    elif stored is not None and not (isinstance(found, int | float) and math.isfinite(found)):
        yield f"{where} is {found!r}, stored is {stored!r}"
