"""Curves of a run, thinned out to what a picture can show.

A record may hold hundreds of thousands of updates. Each curve becomes the means over bins of
consecutive updates (or epochs); sums and counts are kept apart, so that bins can be merged later
without an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtl_bench.errors import RecordError
from mtl_bench.records.epochs import clocks, read_epochs
from mtl_bench.records.steps import (
    Span,
    find_parts,
    missing_steps,
    open_part,
    read_part,
    span_of,
)
from mtl_bench.records.summary import LARGEST, is_usable

POINTS = 400
"""Most points of a curve."""

FEWEST = 50
"""Bins are not merged below this number of points."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Bins:
    """C curves over B bins of ``width`` positions each; position 1 is the first of bin 0.

    Args:
        keys: names of the curves, for instance ("weight", "depth").
        width: positions (updates or epochs) in a bin.
        sums_CB: sums of the finite values.
        counts_CB: how many there were.
    """

    keys: tuple[Key, ...]
    width: int
    sums_CB: np.ndarray
    counts_CB: np.ndarray

    @classmethod
    def empty(cls, keys: Iterable[Key], positions: int, points: int) -> Bins:
        """Return bins for ``positions`` positions, at most ``points`` of them."""
        names, width = tuple(keys), max(1, -(-positions // points))
        shape = (len(names), -(-positions // width))
        return cls(names, width, np.zeros(shape), np.zeros(shape))

    def add(self, positions_R: np.ndarray, values_CR: np.ndarray) -> None:
        """Take in R positions of all curves, without what isn't a number of usable size."""
        bins = self.sums_CB.shape[1]
        index_R = (positions_R - 1) // self.width
        for c, values_R in enumerate(values_CR):
            usable_R = (
                (np.abs(values_R, dtype=np.float64) < LARGEST) & (index_R >= 0) & (index_R < bins)
            )
            index = index_R[usable_R]
            self.sums_CB[c] += np.bincount(index, values_R[usable_R], bins)
            self.counts_CB[c] += np.bincount(index, minlength=bins)

    def halved(self) -> Bins:
        """Return the same curves with two neighbouring bins in one, unless they are few already."""
        if self.sums_CB.shape[1] < 2 * FEWEST:
            return self
        merged = [np.pad(x, ((0, 0), (0, x.shape[1] % 2))) for x in (self.sums_CB, self.counts_CB)]
        pairs = merged[0].shape[1] // 2
        sums, counts = (x.reshape(len(self.keys), pairs, 2).sum(axis=2) for x in merged)
        return Bins(self.keys, 2 * self.width, sums, counts)

    def tree(self) -> dict[str, Any]:
        """Return the means by the parts of their keys; see ``curve``."""
        root: dict[str, Any] = {}
        for key, sums_B, counts_B in zip(self.keys, self.sums_CB, self.counts_CB, strict=True):
            if not counts_B.any():
                continue
            node = root
            for part in key[:-1]:
                node = node.setdefault(part, {})
            node[key[-1]] = curve(sums_B, counts_B)
        return root


def curve(sums_B: np.ndarray, counts_B: np.ndarray) -> list[float | None] | float:
    """Return the means to four digits, None for an empty bin, one number if all are the same."""
    means = [
        four_digits(total / count) if count else None
        for total, count in zip(sums_B.tolist(), counts_B.tolist(), strict=True)
    ]
    first = means[0]
    return first if first is not None and all(mean == first for mean in means) else means


def four_digits(value: float) -> float:
    """Round to four significant digits; whole numbers come back as int, which prints shorter."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded


def epoch_curves(path: Path, score: str) -> Bins:
    """Return the curves of ``metrics.jsonl``; lines and values that can't be read are left out.

    Keys: ("loss", task), of a component ("loss", task, component), ("validation", task, metric),
    ("test", task, metric), ("score", split), and what horizontal axes there may be besides the
    epoch, ("clock", name).

    Args:
        path: of the file.
        score: key of the run's score.
    """
    entries = read_epochs(path, skip_damaged=True)
    rows = [(entry["epoch"], dict(_numbers(entry, score))) for entry in entries]
    for name, told in clocks(entries).items():
        for (_, row), value in zip(rows, told, strict=True):
            row["clock", name] = value
    keys = list(dict.fromkeys(key for _, values in rows for key in values))
    bins = Bins.empty(keys, max((epoch for epoch, _ in rows), default=0), POINTS)
    values = [[row.get(key, math.nan) for _, row in rows] for key in keys]
    bins.add(np.array([epoch for epoch, _ in rows], dtype=np.int64), np.array(values))
    return bins


def _numbers(entry: dict[str, Any], score: str) -> Iterable[tuple[Key, float]]:
    losses = entry.get("train_loss")
    for name, value in losses.items() if isinstance(losses, dict) else ():
        if is_usable(value):
            component, _, task = name.rpartition("/")
            yield ("loss", task, component) if component else ("loss", task), float(value)
    for split in ("validation", "test"):
        value = entry.get(f"{score}_{split}")
        if value is not None and is_usable(value):
            yield ("score", split), float(value)
        tasks = entry.get(split)
        for task, metrics in tasks.items() if isinstance(tasks, dict) else ():
            for metric, value in metrics.items() if isinstance(metrics, dict) else ():
                if is_usable(value):
                    yield (split, task, metric), float(value)


class Steps(NamedTuple):
    """What there is of a step log.

    Args:
        curves: those of single tasks, and those of pairs of tasks.
        damaged: names of the parts that can't be read.
        missing: the updates that no part holds, such as ``301 to 600``; "" if all are there.
    """

    curves: list[Bins]
    damaged: list[str]
    missing: str


def step_curves(folder: Path, updates: int | None = None) -> Steps:
    """Return the curves of the step log of a run that had so many updates, None if nobody knows.

    Keys: ("weight", task); in bins of their own, as they may be many, ("cosine", task, task); where
    the Gram matrix was logged ("norm", task), the length of the task's gradient.
    """
    paths = find_parts(folder)
    spans = [_span(path) for path in paths]
    sound = [(path, span) for path, span in zip(paths, spans, strict=True) if span is not None]
    found = list[Bins]()
    if sound:
        with open_part(sound[-1][0]) as part:
            columns = part.schema_arrow.names
        found = _empty(columns, max(span.last for _, span in sound))
    damaged = [
        path.name
        for path, span in zip(paths, spans, strict=True)
        if span is None or not _add(path, found)
    ]
    return Steps(found, damaged, missing_steps(spans, updates))


def _span(path: Path) -> Span | None:
    """Return which steps a part holds; None if it can't be read."""
    try:
        return span_of(read_part(path, ["step"])["step"].to_numpy())
    except (RecordError, KeyError):
        return None


def _empty(columns: Sequence[str], updates: int) -> list[Bins]:
    tasks = [name.partition("/")[2] for name in columns if name.startswith("loss/")]
    wanted = set(columns)
    single = [(kind, task) for kind in ("weight", "norm") for task in tasks]
    curves = [key for key in single if _column(key) in wanted]
    pairs = [("cosine", a, b) for a in tasks for b in tasks if _column(("cosine", a, b)) in wanted]
    shown = max(FEWEST, min(POINTS, POINTS * len(tasks) // max(1, len(pairs))))
    return [Bins.empty(curves, updates, POINTS), Bins.empty(pairs, updates, shown)]


def _column(key: Key) -> str:
    return "/".join(("gram", *key[1:]) if key[0] == "norm" else key)


def _add(path: Path, found: list[Bins]) -> bool:
    """Take in one part; False if it lacks a column or its data are damaged."""
    columns = ["step", *(_column(key) for bins in found for key in bins.keys)]
    try:
        table = read_part(path, columns)
        steps_R = table["step"].to_numpy()
        for bins in found:
            values = [_values(table[_column(key)].to_numpy(), key) for key in bins.keys]
            bins.add(steps_R, np.array(values).reshape(len(values), len(steps_R)))
    except (RecordError, KeyError):
        return False
    return True


def _values(column_R: np.ndarray, key: Key) -> np.ndarray:
    """Gradient lengths are the roots of the Gram matrix's diagonal."""
    return np.sqrt(np.maximum(column_R, 0)) if key[0] == "norm" else column_R
