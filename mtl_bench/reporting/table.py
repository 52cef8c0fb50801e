"""A table as data, and its forms: Markdown that reads well in a terminal; LaTeX and CSV."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isfinite
from typing import Literal, NamedTuple, Self

from mtl_bench.reporting.inference import Interval, Mark
from mtl_bench.reporting.layout import (
    NOTHING,
    column_width,
    fitting_chunks,
    markdown_table,
    table_width,
    transpose,
)
from mtl_bench.reporting.table_csv import as_csv
from mtl_bench.reporting.table_latex import as_latex

Format = Literal["markdown", "latex", "csv"]
FORMATS: tuple[Format, ...] = ("markdown", "latex", "csv")
SUFFIXES: dict[Format, str] = {"markdown": ".md", "latex": ".tex", "csv": ".csv"}

UNBROKEN = "\0"
"""A blank at which no line is broken."""

Texts = list[tuple[str, Sequence[str]]]


class Cell(NamedTuple):
    """What one place of a table shows.

    Args:
        text: for people.
        value: for machines, where it is a number.
        sd: its sample standard deviation over seeds.
        mark: whether it is the best or second best of its column.
        interval: what it shows in place of a value.
    """

    text: str
    value: float | None = None
    sd: float | None = None
    mark: Mark = ""
    interval: Interval | None = None


NO_CELL = Cell(NOTHING)


def number_cell(value: float | None, form: str) -> Cell:
    """Return a number as ``form`` writes it; a dash of none, NaN and infinities."""
    if value is None or not isfinite(value):
        return NO_CELL
    return Cell(form.format(value), value)


class Columns(NamedTuple):
    """Columns that stay together: headers, and as many cells under each as there are rows."""

    heads: Sequence[str] = ()
    cells: Sequence[Sequence[Cell]] = ()

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Cell]]) -> Self:
        """Return columns by their headers."""
        return cls(list(columns), list(columns.values()))

    def texts(self, marked: Callable[[Cell], str]) -> Texts:
        """Return every column as header and texts."""
        return [
            (head, [marked(cell) for cell in column])
            for head, column in zip(self.heads, self.cells, strict=True)
        ]


@dataclass(frozen=True)
class Table:
    """Rows by name, their metrics, a verdict on each, and what must be said below.

    Args:
        title: heading.
        lead: header of the names.
        names: of the rows.
        metrics: columns that a narrow page may cut apart.
        verdict: columns that come first then.
        notes: lines below; those that begin with ``- `` are items of a list.
        marks: one per row, of the notes on it; none if no row has one.
    """

    title: str
    lead: str
    names: Sequence[str]
    metrics: Columns
    verdict: Columns
    notes: Sequence[str]
    marks: Sequence[str] = ()

    @property
    def marked(self) -> list[str]:
        """The names with their marks, for people."""
        return [name + mark for name, mark in zip_longest(self.names, self.marks, fillvalue="")]


def as_markdown(table: Table, width: int) -> str:
    """Return Markdown; what is wider than ``width`` terminal cells is turned round, or cut."""
    lead = (table.lead, table.marked)
    pieces = _fit(lead, table.metrics.texts(_markdown), table.verdict.texts(_markdown), width)
    blocks = ["\n".join(markdown_table(columns)) for columns in pieces]
    below = "\n".join(wrap(line, width) for line in table.notes)
    return "\n\n".join([f"## {table.title}", *blocks, below])


def render(tables: Iterable[Table | None], form: Format, width: int) -> str:
    """Return tables one after another, "" where there are none; as CSV they are one."""
    found = [table for table in tables if table is not None]
    if not found:
        return ""
    if form == "csv":
        return as_csv(found) + "\n"
    write = {"markdown": lambda t: as_markdown(t, width), "latex": as_latex}[form]
    return "\n\n".join(map(write, found)) + "\n"


def wrap(line: str, width: int) -> str:
    """Break a line of text, an item of a list with a hanging indent; commands stay whole."""
    indent = "  " if line.startswith("- ") else ""
    whole = re.sub("`[^`]*`", lambda found: found[0].replace(" ", UNBROKEN), line)
    return textwrap.fill(
        whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ).replace(UNBROKEN, " ")


def _fit(
    lead: tuple[str, Sequence[str]], metrics: Texts, verdict: Texts, width: int
) -> list[Texts]:
    """Return one table, one turned round, or the verdict first and the metrics in pieces."""
    whole = [lead, *metrics, *verdict]
    if table_width(whole) <= width:
        return [whole]
    turned: Texts = [*transpose(whole)]
    if table_width(turned) <= width:
        return [turned]
    return [
        [lead, *group[piece]]
        for group in (verdict, metrics)
        for piece in fitting_chunks(
            [column_width(head, cells) + 3 for head, cells in group], width - table_width([lead])
        )
    ]


def _markdown(cell: Cell) -> str:
    return {"best": f"**{cell.text}**", "second": f"_{cell.text}_", "": cell.text}[cell.mark]
