"""Which runs are done, running, failed or missing, as a grid of methods and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

from mtl_bench.records.reader import Record
from mtl_bench.reporting.display import row_order
from mtl_bench.reporting.layout import column_width, fitting_chunks, pad

STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "bold red",
    "exploded": "magenta",
    "interrupted": "yellow",
    "missing": "dim",
}
UNSEALED = (
    "unsealed: DONE holds no hashes of the record's files, so that a change would go unnoticed."
)
HINT = "The same train command again resumes what was interrupted and retries what failed."


def render_status(records: Sequence[Record], width: int = 100) -> Text:
    """Return a grid of methods and seeds for every profile and data set.

    A run is missing when another method of the same profile and data set has its seed; STL always
    has a row where Δm needs it. Print the text with ``soft_wrap=True``, which keeps each error
    on one line; ``.plain`` is the same without colours.

    Args:
        records: as ``find_records`` returns them.
        width: terminal cells to fill; more seeds than fit go into another grid below.
    """
    text = Text()
    by_place = sorted(records, key=lambda r: (r.profile, r.dataset))
    for place, members in groupby(by_place, key=lambda r: (r.profile, r.dataset)):
        _append_place(text, f"{place[0]} / {place[1]}", list(members), width)
    if any(not record.sealed for record in records):
        text.append(f"{UNSEALED}\n", "italic")
    if any(record.state in ("failed", "interrupted") for record in records):
        text.append(HINT, "italic")
    text.rstrip()
    return text


def wanted_labels(records: Sequence[Record]) -> list[str]:
    """Return the labels of records in the order of a table, with STL where a score needs it."""
    methods = {record.label: record.method for record in records}
    if any(record.score.is_relative for record in records):
        methods["stl"] = "stl"
    return sorted(methods, key=lambda label: row_order(methods[label], label))


def _append_place(text: Text, title: str, records: list[Record], width: int) -> None:
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.label, record.seed), []).append(record)
    labels = wanted_labels(records)
    seeds = sorted({record.seed for record in records})
    grid = [(f"seed {s}", [found.get((label, s), []) for label in labels]) for s in seeds]

    text.append(f"{title}\n", "bold")
    name_width = column_width("", labels)
    widths = [column_width(head, [_plain(cell) for cell in cells]) + 2 for head, cells in grid]
    for piece in fitting_chunks(widths, width - name_width):
        _append_grid(text, labels, grid[piece], widths[piece])
    missing = sum(not cell for _, cells in grid for cell in cells)
    counts = Counter(record.state for record in records) + Counter(missing=missing)
    unsealed = sum(not record.sealed for record in records)
    told = {state: f"{counts[state]} {state}" for state in STYLES if counts[state]}
    if unsealed:
        told["finished"] += f" ({unsealed} unsealed)"
    text.append(", ".join(told.values()) + "\n")
    for record in records:
        if record.error:
            text.append(f"{record.label} {record.path.name}: ", STYLES[record.state])
            text.append(f"{record.error}\n")
    text.append("\n")


def _append_grid(
    text: Text,
    labels: list[str],
    grid: list[tuple[str, list[list[Record]]]],
    widths: list[int],
) -> None:
    name_width = column_width("", labels)
    heads = [pad("  " + head, width) for (head, _), width in zip(grid, widths, strict=True)]
    text.append(f"{pad('', name_width)}{''.join(heads)}".rstrip() + "\n", "dim")
    for row, label in enumerate(labels):
        text.append(pad(label, name_width))
        for (_, cells), width in zip(grid, widths, strict=True):
            _append_cell(text, cells[row], width)
        text.rstrip()
        text.append("\n")


def _append_cell(text: Text, runs: list[Record], width: int) -> None:
    text.append("  ")
    for index, run in enumerate(runs):
        text.append(", " if index else "").append(describe(run), STYLES[run.state])
    if not runs:
        text.append("missing", STYLES["missing"])
    text.append(" " * (width - 2 - len(_plain(runs))))


def _plain(runs: list[Record]) -> str:
    return ", ".join(describe(run) for run in runs) or "missing"


def describe(record: Record) -> str:
    """Return ``done``, or the state with how far the run is, for instance ``running 3/30``.

    A finished run whose files have no hashes is ``done unsealed``.
    """
    if record.state == "finished":
        return "done" if record.sealed else "done unsealed"
    total = "?" if record.epochs_total is None else record.epochs_total
    return f"{record.state} {record.epochs_done}/{total}"
