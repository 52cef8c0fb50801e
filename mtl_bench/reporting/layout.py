"""Plain-text layout: aligned Markdown tables and columns that fit a width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

NOTHING = "–"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill ``text`` with blanks to ``width`` terminal cells, on its left where ``right``."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def column_width(header: str, cells: Sequence[str]) -> int:
    """Return the terminal cells of the widest entry, at least 3 (Markdown's shortest rule)."""
    return max(3, *(cell_len(text) for text in (header, *cells)))


def markdown_table(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the lines of a Markdown table that is aligned as plain text too.

    Args:
        columns: header and cells; the first column is set left, the others right.
    """
    escaped = [(_escape(head), [_escape(cell) for cell in cells]) for head, cells in columns]
    widths = [column_width(head, cells) for head, cells in escaped]
    padded = [
        [pad(text, width, right=index > 0) for text in (head, *cells)]
        for index, ((head, cells), width) in enumerate(zip(escaped, widths, strict=True))
    ]
    lines = [f"| {' | '.join(row)} |" for row in zip(*padded, strict=True)]
    rules = [f":{'-' * (w - 1)}" if i == 0 else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return [lines[0], f"| {' | '.join(rules)} |", *lines[1:]]


def table_width(columns: Sequence[tuple[str, Sequence[str]]]) -> int:
    """Return the terminal cells that ``markdown_table`` takes for ``columns``."""
    return sum(column_width(_escape(head), cells) + 3 for head, cells in columns) + 1


def fitting_chunks(widths: Sequence[int], room: int) -> Iterator[slice]:
    """Cut columns of these widths into runs that fill at most ``room``, one column at least."""
    start, used = 0, 0
    for index, width in enumerate(widths):
        if index > start and used + width > room:
            yield slice(start, index)
            start, used = index, 0
        used += width
    if widths:
        yield slice(start, len(widths))


def transpose(columns: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
    """Swap rows and columns; the corner takes an empty header."""
    (_, names), *rest = columns
    corner = ("", [head for head, _ in rest])
    return [corner, *((name, [cells[i] for _, cells in rest]) for i, name in enumerate(names))]


def _escape(text: str) -> str:
    return text.replace("|", r"\|")
