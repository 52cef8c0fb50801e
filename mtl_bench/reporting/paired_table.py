"""Methods against a reference, seed by seed: ``mtl-bench tables against_ls``."""

from __future__ import annotations

import numpy as np

from mtl_bench.reporting.comparison import MethodRow
from mtl_bench.reporting.figures.context import FigureContext
from mtl_bench.reporting.inference import bootstrap_mean, holm, sign_flip_test
from mtl_bench.reporting.notes import kind_text, place_text, profile_text
from mtl_bench.reporting.table import Cell, Columns, Table, number_cell
from mtl_bench.reporting.tables import INTERVAL, interval_cell, spread_text
from mtl_bench.reporting.verdicts import spread

FEWEST = 6
"""Common seeds below which no p can be under 5 %."""

NOTE = (
    "By the seeds that both have, {score} of the row minus that of {reference}: {better} is "
    "better. 95 %: bootstrap over the seeds. Better, worse: on so many seeds. p: two-sided, by "
    "flipping the signs of the differences; Holm: corrected for the number of methods, and by "
    "themselves for that of their variants."
)


def paired_table(scene: FigureContext, label: str) -> Table | None:
    """Return a row for each method that shares enough seeds with the reference.

    Args:
        scene: the comparison.
        label: of the reference. None without it, or where it has several rows.
    """
    references = [row for row in scene.comparison.rows if row.label == label]
    if len(references) != 1:
        return None
    (reference,) = references
    score = scene.comparison.score
    differences, few = dict[str, np.ndarray](), list[str]()
    rows = [row for row in scene.comparison.rows if row is not reference and row.label != "stl"]
    for row in rows:
        found = paired_differences(row, reference)
        if len(found) >= FEWEST:
            differences[row.name] = found
        else:
            few.append(row.name)
    if not differences:
        return None
    ahead = 1 if score.higher_is_better else -1
    chances = {name: sign_flip_test(own) for name, own in differences.items()}
    corrected = dict[str, float]()
    for family in (False, True):
        names = [row.name for row in rows if row.is_ablation is family and row.name in chances]
        corrected |= zip(names, holm([chances[name] for name in names]), strict=True)
    form = f"{{:+.{score.decimals}f}}"
    spreads = [spread(own.tolist()) for own in differences.values()]
    columns = {
        f"difference{f' [{score.unit}]' if score.unit else ''}": [
            Cell(spread_text(own, score.decimals, signed=True), own.mean, own.sd) for own in spreads
        ],
        INTERVAL: [interval_cell(bootstrap_mean(own), form) for own in differences.values()],
        "better": [number_cell((ahead * own > 0).sum(), "{}") for own in differences.values()],
        "worse": [number_cell((ahead * own < 0).sum(), "{}") for own in differences.values()],
        "n": [number_cell(len(own), "{}") for own in differences.values()],
        "p": [number_cell(p, "{:.3f}") for p in chances.values()],
        "p, Holm": [number_cell(p, "{:.3f}") for p in (corrected[name] for name in chances)],
    }
    note = NOTE.format(
        score=score.label,
        reference=reference.name,
        better="above 0" if score.higher_is_better else "below 0",
    )
    notes = [
        f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, "
        f"selection {scene.setting.selection}. {note}"
    ]
    if few:
        notes.append(
            f"Fewer than {FEWEST} common seeds, so that no p could be under 5 %: {', '.join(few)}."
        )
    return Table(
        f"against {reference.name}: {place_text(scene.comparison)}",
        "",
        list(differences),
        Columns(),
        Columns.of(columns),
        notes,
    )


def paired_differences(row: MethodRow, reference: MethodRow) -> np.ndarray:
    """Return the row's score minus the reference's for every seed that has both."""
    own, other = row.by_seed, reference.by_seed
    pairs = [(own[seed], other[seed]) for seed in sorted(own.keys() & other.keys())]
    return np.array([a - b for a, b in pairs if a is not None and b is not None])
