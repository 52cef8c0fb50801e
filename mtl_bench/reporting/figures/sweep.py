"""The cells of a sweep that is drawn: which rows there are, and why others have no score."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.figures.scene import CannotDrawError, FigureContext
from mtl_bench.reporting.statistics import MethodRow
from mtl_bench.reporting.status import describe


@dataclass(frozen=True)
class SweptSetting:
    """One setting of the sweep.

    Args:
        row: its row, None where there is no single one.
        state: why there is no score, empty where there is.
    """

    row: MethodRow | None
    state: str


def sweep_cells(scene: FigureContext, name: str) -> dict[str, SweptSetting]:
    """Return label -> cell for every line of an experiment.

    Raises:
        CannotDrawError: no run of it is finished here, or none has a score.
    """
    rows: dict[str, list[MethodRow]] = {}
    for row in scene.comparison.rows:
        rows.setdefault(row.label, []).append(row)
    states = {record.label: describe(record) for record in scene.unfinished}
    cells = {}
    for line in find_experiments()[name].lines:
        found = rows.get(line.label, [])
        state = states.get(line.label, "missing")
        cells[line.label] = _cell(found, state, scene.comparison.score.label)
    if all(cell.row is None for cell in cells.values()):
        counts = Counter(cell.state for cell in cells.values())
        counted = ", ".join(f"{count} {state}" for state, count in counts.items())
        start = scene.command(f"experiment={name}")
        raise CannotDrawError(f"no finished run of its sweep ({counted}): {start}")
    if all(cell.state for cell in cells.values()):
        raise CannotDrawError(next(n for c in cells.values() if c.row for n in c.row.notes))
    return cells


def sweep_missing(
    scene: FigureContext, cells: dict[str, SweptSetting], name: str
) -> tuple[str, ...]:
    """Return a line about the cells that have nothing to show."""
    empty = [f"{label} ({cell.state})" for label, cell in cells.items() if cell.state]
    notes = [note for cell in cells.values() if cell.row for note in cell.row.notes]
    if empty:
        unfinished = any(cell.row is None for cell in cells.values())
        start = f": {scene.command(f'experiment={name}')}" if unfinished else ""
        notes.insert(0, f"no {scene.comparison.score.label} of {', '.join(empty)}{start}")
    return tuple(dict.fromkeys(notes))


def _cell(rows: list[MethodRow], state: str, label: str) -> SweptSetting:
    if not rows:
        return SweptSetting(None, state)
    if len(rows) > 1:
        return SweptSetting(None, f"{len(rows)} configurations")
    return SweptSetting(rows[0], "" if rows[0].score else f"no {label}")
