"""Tables as CSV: one rectangle below one header, which programs can read."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from mtl_bench.reporting.layout import NOTHING

if TYPE_CHECKING:
    from mtl_bench.reporting.table import Cell, Table

Place = tuple[str, str]
"""Header of a table's column, and which of ``PARTS``."""

PARTS = ("", " sd", " low", " high")
"""What a column of a table may need columns for: value, deviation over seeds, interval."""

COMPUTED = "*"


class CsvRow(NamedTuple):
    """A row without what stands beside all rows of its table.

    Args:
        name: without marks of notes.
        numbers: those of its cells.
        said: what its cells say in words.
        notes: those of the table's notes that are on this row, and the rest of each line.
    """

    name: str
    numbers: dict[Place, float]
    said: list[str]
    notes: dict[str, str]


def as_csv(tables: Sequence[Table]) -> str:
    """Return the rows of all tables, without a newline at the end.

    Columns: ``table`` has the title; then the plain names of the rows; those of all tables, of
    numbers alone, where ``x sd`` has the sample standard deviations of ``x``, and ``x low`` and
    ``x high`` are the ends of an interval; ``notes`` of the row, with what its cells say in words;
    ``conditions``, what the table's numbers mean.
    """
    found = [(table, list(_rows(table))) for table in tables]
    used = {place for _, rows in found for row in rows for place in row.numbers}
    heads = dict.fromkeys(head for table in tables for head in _heads(table))
    places = [place for head in heads for place in _places(head, used)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    lead = tables[0].lead or "row"
    writer.writerow(["table", lead, *(head + part for head, part in places), "notes", "conditions"])
    for table, rows in found:
        own = {note for row in rows for note in row.notes}
        general = " ".join(note.removeprefix("- ") for note in table.notes if note not in own)
        for row in rows:
            numbers = [row.numbers.get(place, "") for place in places]
            notes = "; ".join([*row.said, *row.notes.values()])
            writer.writerow([table.title, row.name, *numbers, notes, general])
    return stream.getvalue().rstrip("\n")


def _heads(table: Table) -> list[str]:
    """Return the headers; one that is there twice gets the one before it in front."""
    heads = [*table.metrics.heads, *table.verdict.heads]
    return [
        head if heads.count(head) == 1 else f"{heads[index - 1]} {head}"
        for index, head in enumerate(heads)
    ]


def _places(head: str, used: Collection[Place]) -> list[Place]:
    return [(head, part) for part in PARTS if (head, part) in used] or [(head, "")]


def _rows(table: Table) -> Iterator[CsvRow]:
    heads, columns = _heads(table), [*table.metrics.cells, *table.verdict.cells]
    for index, (name, own) in enumerate(zip_longest(table.names, table.marks, fillvalue="")):
        marks = own.split(",")
        numbers, said = dict[Place, float](), list[str]()
        for head, column in zip(heads, columns, strict=True):
            cell = column[index]
            found = _numbers(cell)
            numbers |= {(head, part): number for part, number in found.items()}
            if not found and cell.text != NOTHING:
                said.append(f"{head}: {cell.text}")
            if cell.text.endswith(COMPUTED):
                marks.append(COMPUTED)
        starts = [*(f"- {mark} " for mark in marks if mark), f"- {name}: "]
        notes = {
            note: note.removeprefix(start).removesuffix(".")
            for start in starts
            for note in table.notes
            if note.startswith(start)
        }
        yield CsvRow(name, numbers, said, notes)


def _numbers(cell: Cell) -> dict[str, float]:
    """Return the numbers of a cell by part; none where it says something in words."""
    if cell.value is not None:
        return {"": cell.value} | ({} if cell.sd is None else {" sd": cell.sd})
    if cell.interval is not None:
        return {" low": cell.interval.low, " high": cell.interval.high}
    return {}
