"""An update that was made again, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_bench.reporting.layout import NOTHING, markdown_table

if TYPE_CHECKING:
    from mtl_bench.inspect.replay import ReplayedUpdate

SHOWN = 8
"""Samples and origins that are named; the others are counted."""


def render_replay(path: Path, replay: ReplayedUpdate) -> str:
    """Return what an update was made of: a line per task, the cosines, and where it went wrong.

    Args:
        path: the record.
        replay: its update.
    """
    incident, update = replay.incident, replay.incident["update"]
    begun = f"going on from step {replay.start}" if replay.start else "trained anew"
    samples = [name for names in update["samples"] for name in names]
    return "\n".join(
        [
            f"{path}: step {replay.step}, epoch {incident['epoch']}, "
            f"batch {incident['batch'] + 1}, {begun}",
            "",
            *_tasks(update),
            "",
            f"samples: {_some(samples)}",
            *(f"{name}: {value:.6g}" for name, value in update.get("diagnostics", {}).items()),
            f"largest parameter: {replay.largest[1]:.4g} in {replay.largest[0]}",
            *_verdict(replay),
        ]
    )


def _tasks(update: dict[str, Any]) -> list[str]:
    losses, weights, gram = (update.get(key, {}) for key in ("losses", "weights", "gram"))
    names = list(weights or losses)
    present = list(losses)
    columns: list[tuple[str, list[str]]] = [
        ("task", names),
        ("loss", [_number(losses.get(name)) for name in names]),
        ("weight", [_number(weights.get(name)) for name in names]),
    ]
    if gram:
        squares = {name: gram[i][i] for i, name in enumerate(present)}
        columns.append(("gradient norm", [_root(squares.get(name)) for name in names]))
        for i, name in enumerate(present):
            cosines = {
                other: _cosine(gram[i][j], gram[i][i], gram[j][j])
                for j, other in enumerate(present)
            }
            columns.append((f"cos {name}", [_number(cosines.get(other)) for other in names]))
    return markdown_table(columns)


def _verdict(replay: ReplayedUpdate) -> list[str]:
    lines = [f"refused: {replay.fault}" if replay.fault else "the update can be made"]
    if replay.origins:
        lines.append(f"not finite, first things first: {_some(replay.origins)}")
    if replay.same is not None:
        same = "the same numbers as when the run failed, bit for bit"
        lines.append(same if replay.same else "NOT the numbers with which the run failed")
    return lines


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _root(square: float | None) -> str:
    return NOTHING if square is None else f"{math.sqrt(square):.4g}"


def _cosine(product: float, first: float, second: float) -> float | None:
    norms = math.sqrt(first * second)
    return product / norms if 0 < norms < math.inf else None
