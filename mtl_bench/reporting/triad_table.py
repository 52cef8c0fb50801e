"""How often task gradients meet the conditions of PCGrad's theory, run by run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_bench.records.reader import Record
from mtl_bench.records.steps import CURVATURE, find_parts
from mtl_bench.reporting.figures.logs import step_series
from mtl_bench.reporting.figures.scene import FigureContext, find_scenes
from mtl_bench.reporting.logged_runs import read_logged_runs
from mtl_bench.reporting.notes import kind_text, place_text, profile_text
from mtl_bench.reporting.statistics import ScoredRun
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render
from mtl_bench.reporting.tables import filled
from mtl_bench.reporting.triad import pair_columns, pair_statistics, triad_shares

HEADS = ("conflicts", "Φ", "(a)", "ξ", "ξ ≤ 1", "curvature", "H > 0")


def render_triad(records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return a table per comparison with a row for each run and component.

    Without a step log that has a Gram matrix it is "".

    Args:
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    tables = [table for scene in find_scenes(records, None) if (table := _table(scene))]
    return render(tables, form, width) if tables else ""


def _table(scene: FigureContext) -> Table | None:
    rows, without, remarks = read_logged_runs(scene, _cells)
    if not rows and not remarks:
        return None
    columns = filled({head: [cells[k] for cells in rows.values()] for k, head in enumerate(HEADS)})
    notes = [
        f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, all "
        "updates and pairs of tasks. Conflicts: share of the pairs whose gradients have a cosine "
        "below zero. Φ = 2|g₁||g₂| / (|g₁|² + |g₂|²), mean. Among the conflicts: (a) share with "
        "cos ≤ -Φ; ξ = (1 - cos²)|g₁ - g₂|² / |g₁ + g₂|², median; ξ ≤ 1 its share, which "
        "condition (b) implies."
        + " Curvature: median of H = 2 [L(θ') - L(θ) - ∇L(θ)ᵀ(θ' - θ)] of the sum of the losses "
        "over updates; H > 0: its share." * (HEADS[-1] in columns)
    ]
    if without:
        notes.append(f"No Gram matrix in the step log of {', '.join(without)}.")
    return Table(
        f"triad: {place_text(scene.comparison)}",
        "run",
        list(rows),
        Columns([], list[list[Cell]]()),
        Columns(list(columns), list(columns.values())),
        notes + remarks,
    )


def _cells(run: ScoredRun, tasks: list[str], component: str) -> list[Cell] | None:
    """Return a cell for each head; None without a step log that has a Gram matrix.

    Raises:
        RecordError: a part of the log is missing or can't be read.
    """
    if len(tasks) < 2 or not find_parts(run.record.path / "steps" / component):
        return None
    read = (run.summary.get("steps"), component)
    found = step_series(run.record.path, pair_columns(tasks), *read)
    if found is None:
        return None
    shares = triad_shares(pair_statistics(found[1], len(tasks)))
    measured = step_series(run.record.path, [CURVATURE], *read)
    curvature = np.empty(0) if measured is None else measured[1][np.isfinite(measured[1])]
    return [
        _percent(shares.conflicts),
        _number(shares.similarity, ".3f"),
        _percent(shares.dominated),
        _number(shares.bound, ".2g"),
        _percent(shares.bounded),
        _number(float(np.median(curvature)) if curvature.size else np.nan, ".2g"),
        _percent(float((curvature > 0).mean()) if curvature.size else np.nan),
    ]


def _percent(share: float) -> Cell:
    return Cell(f"{100 * share:.1f} %", 100 * share) if np.isfinite(share) else NO_CELL


def _number(value: float, form: str) -> Cell:
    return Cell(f"{value:{form}}", value) if np.isfinite(value) else NO_CELL
