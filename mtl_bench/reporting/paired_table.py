"""Methods against one of them, seed by seed: ``mtl-bench tables against_ls``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from mtl_bench.reporting.advice import train_command
from mtl_bench.reporting.comparison import MethodRow
from mtl_bench.reporting.figures.context import FigureContext
from mtl_bench.reporting.grouping import Group, differences
from mtl_bench.reporting.inference import bootstrap_mean, holm, sign_flip_test
from mtl_bench.reporting.notes import kind_text, place_text, profile_text
from mtl_bench.reporting.table import Cell, Columns, Table, number_cell
from mtl_bench.reporting.tables import INTERVAL, interval_cell, spread_text
from mtl_bench.reporting.verdicts import spread
from mtl_bench.scores import Score

FEWEST = 6
"""Common seeds below which no p can be under 5 %."""

ENDED = ("exploded", "failed")
"""States of runs that no further time gives a score."""

NOTE = (
    "By the seeds that both have, {score} of the row minus that of {reference}: {better} is "
    "better. 95 %: bootstrap over the seeds. Better, worse: on so many seeds. p: two-sided, by "
    "flipping the signs of the differences; Holm: corrected for the number of methods, and by "
    "themselves for that of their variants."
)


class PairedRows(NamedTuple):
    """Rows that differ from a reference in nothing but method and network, and the reference."""

    reference: MethodRow
    rows: list[MethodRow]


def paired_tables(scene: FigureContext, label: str) -> list[Table]:
    """Return a table per reference, with a row for each method that shares enough seeds with it.

    Args:
        scene: the comparison.
        label: of the reference. Variants of it that are trained under other settings, but with the
            same method and network, are the references of the rows that share these.
    """
    pairings = find_paired_rows(scene, label)
    tables = [found for pairing in pairings if (found := _table(scene, pairing))]
    if not tables:
        return []
    first, *others = tables
    return [replace(first, notes=[*first.notes, *_strangers(scene, pairings, label)]), *others]


def find_paired_rows(scene: FigureContext, label: str) -> list[PairedRows]:
    """Return every reference with the rows that may be held against it; STL never is."""
    rows = {row.name: row for row in scene.comparison.rows}
    groups = [Group(name, row.label, scene.runs[name], None) for name, row in rows.items()]
    plain = [group for group in groups if group.label == label]
    references = [
        group
        for group in groups
        if any((group.method, group.system) == (own.method, own.system) for own in plain)
    ]
    return [
        PairedRows(
            rows[reference.name],
            [
                rows[group.name]
                for group in groups
                if group is not reference
                and group.method != "stl"
                and not differences([reference, group])
            ],
        )
        for reference in references
    ]


def usual_beside(label: str) -> str:
    """Return the method that is advised where there is none to hold against a reference."""
    return "ls" if label == "pcgrad" else "pcgrad"


def explain_lack(scene: FigureContext, label: str) -> str:
    """Return why a comparison has no such table, and the command that trains what it takes."""
    rows = scene.comparison.rows
    others = [row.label for row in rows if row.label not in ("stl", label) and not row.is_ablation]
    single = ["stl"] if scene.comparison.score.is_relative else []
    methods = dict.fromkeys([*single, label, *(others or [usual_beside(label)])])
    seeds = {seed for row in rows for seed in row.seeds}
    spare = (seed for seed in count() if seed not in seeds)
    command = train_command(
        [run.record for runs in scene.runs.values() for run in runs],
        f"method={','.join(methods)}",
        seeds=[*seeds, *islice(spare, max(0, FEWEST - len(seeds)))],
    )
    lacks = " and ".join(_lacks(scene, label))
    return f"{place_text(scene.comparison)} has {lacks}: `{command}`"


def _lacks(scene: FigureContext, label: str) -> list[str]:
    """Return what a table takes and the comparison has not."""
    labels, score = {row.label for row in scene.comparison.rows}, scene.comparison.score
    lacks = []
    if label not in labels:
        lacks.append(f"no run of {label}")
    if score.is_relative and "stl" not in labels:
        lacks.append(f"no STL run, which {score.label} is against")
    if labels <= {"stl", label}:
        lacks.append(f"no run of a method beside {label}")
    few = f"no method with {FEWEST} seeds in common with {label} under the same settings"
    return lacks or [few]


def _strangers(scene: FigureContext, pairings: Sequence[PairedRows], label: str) -> list[str]:
    """Return a note on the rows that no reference was trained like."""
    held = {row.name for own in pairings for row in (own.reference, *own.rows) if own.rows}
    left = [row.name for row in scene.comparison.rows if row.name not in held]
    left = [name for name in left if scene.runs[name][0].record.method != "stl"]
    if not left:
        return []
    return [
        f"Left out, since no {label} was trained under their settings: {len(left)} "
        f"row{'s' * (len(left) > 1)}, {', '.join(left)}."
    ]


def _table(scene: FigureContext, pairing: PairedRows) -> Table | None:
    """Return the table of a reference; None if no row has enough seeds."""
    reference, score = pairing.reference, scene.comparison.score
    every = {row.name: paired_differences(row, reference) for row in pairing.rows}
    found = {name: own for name, own in every.items() if len(own) >= FEWEST}
    if not found:
        return None
    note = NOTE.format(
        score=score.label,
        reference=reference.name,
        better="above 0" if score.higher_is_better else "below 0",
    )
    return Table(
        f"against {reference.name}: {place_text(scene.comparison)}",
        "",
        list(found),
        Columns(),
        Columns.of(_columns(found, pairing.rows, score)),
        [
            f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}, "
            f"selection {scene.setting.selection}. {note}",
            *_few([name for name in every if name not in found]),
            *_without_score(scene, pairing),
        ],
    )


def _columns(
    found: Mapping[str, np.ndarray], rows: Sequence[MethodRow], score: Score
) -> dict[str, list[Cell]]:
    """Return the columns of the differences; methods and variants are corrected by themselves."""
    ahead = 1 if score.higher_is_better else -1
    chances = {name: sign_flip_test(own) for name, own in found.items()}
    corrected = dict[str, float]()
    for variants in (False, True):
        names = [row.name for row in rows if row.is_ablation is variants and row.name in found]
        corrected |= zip(names, holm([chances[name] for name in names]), strict=True)
    form = f"{{:+.{score.decimals}f}}"
    spreads = [spread(own.tolist()) for own in found.values()]
    return {
        f"difference{f' [{score.unit}]' if score.unit else ''}": [
            Cell(spread_text(own, score.decimals, signed=True), own.mean, own.sd) for own in spreads
        ],
        INTERVAL: [interval_cell(bootstrap_mean(own), form) for own in found.values()],
        "better": [number_cell((ahead * own > 0).sum(), "{}") for own in found.values()],
        "worse": [number_cell((ahead * own < 0).sum(), "{}") for own in found.values()],
        "n": [number_cell(len(own), "{}") for own in found.values()],
        "p": [number_cell(p, "{:.3f}") for p in chances.values()],
        "p, Holm": [number_cell(p, "{:.3f}") for p in (corrected[name] for name in found)],
    }


def _few(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"Fewer than {FEWEST} common seeds, so that no p could be under 5 %: {', '.join(names)}."
    ]


def _without_score(scene: FigureContext, pairing: PairedRows) -> list[str]:
    """Return a note on the runs of the table that have ended without a score, by row."""
    told = []
    for row in (pairing.reference, *pairing.rows):
        settings = scene.runs[row.name][0].record.settings
        own = [r for r in scene.unfinished if (r.label, r.settings) == (row.label, settings)]
        states = Counter(record.state for record in own if record.state in ENDED)
        told += [f"{count} {state} of {row.name}" for state, count in sorted(states.items())]
    if not told:
        return []
    return [f"Runs without a score, whose seeds are left out: {', '.join(told)}."]


def paired_differences(row: MethodRow, reference: MethodRow) -> np.ndarray:
    """Return the row's score minus the reference's for every seed that has both."""
    own, other = row.by_seed, reference.by_seed
    pairs = [(own[seed], other[seed]) for seed in sorted(own.keys() & other.keys())]
    return np.array([a - b for a, b in pairs if a is not None and b is not None])
