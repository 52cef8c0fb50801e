"""What a step of each method costs: its time by phase, relative to LS, parameters and memory."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import MethodRow, ScoredRun
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.figures.scene import FigureContext, find_scenes
from mtl_bench.reporting.notes import (
    cautions,
    costless,
    place_text,
    profile_text,
    remarks,
    seeds_text,
    setting_text,
    usual_seeds,
)
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render
from mtl_bench.reporting.tables import cost_columns, filled, parameter_columns, seed_count

PHASES = {
    "data [ms]": "data",
    "forward [ms]": "forward",
    "method [ms]": "method",
    "optimizer [ms]": "optimizer",
}
"""Head of a column -> phase of a step; data are loaded or, in environments, collected."""

REFERENCE = "ls"


def render_step_costs(records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return a table per comparison with a row per method, "" without a finished run.

    Args:
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    tables = [_table(scene) for scene in find_scenes(records, None)]
    return render(tables, form, width) if tables else ""


def _table(scene: FigureContext) -> Table:
    found, rows = scene.comparison, scene.comparison.rows
    references = [row for row in rows if row.label == REFERENCE]
    times = references[0].step_times if len(references) == 1 else {}
    costs = [cost(row.step_times, times, REFERENCE.upper()) for row in rows]
    runs = [scene.runs[row.name] for row in rows]
    columns = {
        **cost_columns("step cost", costs),
        **{head: [_milliseconds(own, phase) for own in runs] for head, phase in PHASES.items()},
        "memory [MiB]": [_memory(own) for own in runs],
        "n": [seed_count(row) for row in rows],
        **parameter_columns(rows),
        "shared": [_count(row) for row in rows],
    }
    shown = filled(columns)
    usual = usual_seeds(rows)
    seeds = sorted({seed for row in rows for seed in row.seeds})
    return Table(
        f"costs: {place_text(found)}",
        "method",
        [row.name for row in rows],
        Columns([], list[list[Cell]]()),
        Columns(list(shown), list(shown.values())),
        [
            f"Profile {profile_text(found)}, {setting_text(found.setting)}, {seeds_text(seeds)}. "
            "Step cost: training time of a step relative to LS with the same seed on the same "
            "device under the same load; CPU: likewise of the process's CPU time; medians over the "
            "number of seeds behind them. Milliseconds of a step by phase, medians over n seeds, "
            "under whatever load there was. Shared: parameters that all tasks share.",
            *(f"- {row.name}: {note}." for row in rows for note in remarks(row, usual)),
            *costless({row.name: own for row, own in zip(rows, costs, strict=True)}),
            *cautions(found),
        ],
    )


def _milliseconds(runs: Sequence[ScoredRun], phase: str) -> Cell:
    told = [
        1000 * seconds / steps
        for run in runs
        if (steps := run.summary.get("steps"))
        and (seconds := run.summary["seconds"].get(phase)) is not None
    ]
    return Cell(f"{median(told):.2f}", median(told)) if told else NO_CELL


def _memory(runs: Sequence[ScoredRun]) -> Cell:
    told = [found / 2**20 for run in runs if (found := run.summary.get("peak_memory_bytes"))]
    return Cell(f"{median(told):,.0f}", median(told)) if told else NO_CELL


def _count(row: MethodRow) -> Cell:
    shared = row.parameters.get("shared")
    return NO_CELL if shared is None else Cell(f"{shared:,}", shared)
