"""What a step of each method costs: its time by phase, relative to LS, parameters and memory."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mtl_bench.reporting.comparison import ScoredRun
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.figures.scene import FigureContext
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
from mtl_bench.reporting.table import Cell, Columns, Table, number_cell
from mtl_bench.reporting.tables import cost_columns, filled, parameter_columns, seed_count

PHASES = {
    "data [ms]": "data",
    "forward [ms]": "forward",
    "method [ms]": "method",
    "optimizer [ms]": "optimizer",
}
"""Head of a column -> phase of a step; data are loaded or, in environments, collected."""

REFERENCE = "ls"


def step_cost_table(scene: FigureContext) -> Table:
    """Return a row per method of a comparison."""
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
        "shared": [number_cell(row.parameters.get("shared"), "{:,}") for row in rows],
    }
    usual = usual_seeds(rows)
    seeds = sorted({seed for row in rows for seed in row.seeds})
    return Table(
        f"costs: {place_text(found)}",
        "method",
        [row.name for row in rows],
        Columns(),
        Columns.of(filled(columns)),
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
    return number_cell(median(told) if told else None, "{:.2f}")


def _memory(runs: Sequence[ScoredRun]) -> Cell:
    told = [found / 2**20 for run in runs if (found := run.summary.get("peak_memory_bytes"))]
    return number_cell(median(told) if told else None, "{:,.0f}")
