"""What a figure is drawn from: one comparison, its runs, and what is missing in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import TYPE_CHECKING

from mtl_bench.errors import MtlBenchError
from mtl_bench.records.reader import Record
from mtl_bench.records.steps import find_components
from mtl_bench.reporting.advice import train_command
from mtl_bench.reporting.notes import KINDS, profile_text, seeds_text, setting_text
from mtl_bench.reporting.statistics import (
    Comparison,
    MethodRow,
    ScoredRun,
    Setting,
    compare,
    runs_under,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 15
"""Rows that one picture keeps apart; with more, variants of a method are left out."""


class CannotDrawError(MtlBenchError):
    """A figure for which there are no records; the text says which, and the command."""


@dataclass(frozen=True)
class Drawing:
    """A figure, and what could not be shown in it with the command that makes it."""

    figure: Figure
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class FigureContext:
    """One comparison and what belongs to it.

    Args:
        comparison: the rows, with Δm as the tables print it.
        rows: those that the figures of methods show.
        left_out: names of the others.
        asked: whether these rows were asked for.
        runs: row's name -> its runs, by seed.
        unfinished: records of the profile and data set that have no results yet.
        suffix: end of the figures' file names; tells the comparisons of a profile apart.
    """

    comparison: Comparison
    rows: tuple[MethodRow, ...]
    left_out: tuple[str, ...]
    asked: bool
    runs: dict[str, tuple[ScoredRun, ...]]
    unfinished: tuple[Record, ...]
    suffix: str

    @property
    def setting(self) -> Setting:
        """What all runs have in common."""
        return self.comparison.setting

    @property
    def subject(self) -> str:
        """What a title says about the runs; procedural data are named here and in the footer."""
        kind = "" if self.setting.data_kind in KINDS else f" ({self.setting.data_kind} data)"
        return f"{self.setting.dataset}{kind}, profile {self.setting.profile}"

    @property
    def tasks(self) -> dict[str, str]:
        """Task -> its label."""
        return {column.task: column.label for column in self.comparison.columns}

    @property
    def components(self) -> list[str]:
        """Names of the components that have step logs, "" for the only one."""
        logs = [run.record.path / "steps" for runs in self.runs.values() for run in runs]
        found = {component for folder in logs for component in find_components(folder)}
        return sorted(found - {""}) or [""]

    def command(self, words: str) -> str:
        """Return the command that trains ``words`` beside these runs, with their seeds."""
        records = [run.record for runs in self.runs.values() for run in runs]
        return f"`{train_command(records, words, seeds=[record.seed for record in records])}`"

    def command_of(self, *methods: str) -> str:
        """Return a colon and the command that trains those of the methods that lack runs, or ""."""
        seeds: dict[str, set[int]] = {}
        for row in self.comparison.rows:
            seeds.setdefault(row.label, set()).update(row.seeds)
        every = set[int]().union(*seeds.values())
        left = [method for method in methods if seeds.get(method) != every]
        return f": {self.command('method=' + ','.join(left))}" if left else ""


def find_scenes(
    records: Sequence[Record], selection: str | None, methods: Sequence[str] = ()
) -> list[FigureContext]:
    """Return one scene per comparison, those of a profile and data set next to each other.

    Args:
        records: as ``find_records`` returns them.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        methods: labels to show; all of them if empty, without variants if they are too many.
    """
    runs = runs_under(records, selection)
    found = compare(runs, records=records)
    scenes = []
    for (profile, dataset), members in groupby(
        found, key=lambda c: (c.setting.profile, c.setting.dataset)
    ):
        group = list(members)
        unfinished = tuple(
            r for r in records if r.summary is None and (r.profile, r.dataset) == (profile, dataset)
        )
        for comparison in group:
            own = [run for run in runs if run.setting == comparison.setting]
            rows = _choose(comparison.rows, methods)
            scenes.append(
                FigureContext(
                    comparison,
                    rows,
                    tuple(row.name for row in comparison.rows if row not in rows),
                    bool(methods),
                    {row.name: tuple(_runs_of(row, own)) for row in comparison.rows},
                    unfinished,
                    _suffix(comparison.setting, [c.setting for c in group]),
                )
            )
    return scenes


def _choose(rows: tuple[MethodRow, ...], methods: Sequence[str]) -> tuple[MethodRow, ...]:
    if methods:
        return tuple(row for row in rows if row.label in methods)
    if len(rows) <= MOST_ROWS:
        return rows
    return tuple(row for row in rows if not row.is_ablation)


def _runs_of(row: MethodRow, runs: Iterable[ScoredRun]) -> list[ScoredRun]:
    own = [run for run in runs if run.record.label == row.label and run.record.hash in row.hashes]
    return sorted(own, key=lambda run: run.record.seed)


def _suffix(setting: Setting, group: Sequence[Setting]) -> str:
    """Return the data set and whatever the group's settings differ in."""
    words = [setting.dataset]
    for field in fields(Setting):
        if len({getattr(other, field.name) for other in group}) > 1:
            value = str(getattr(setting, field.name))
            words.append(value + ("epochs" if field.name == "epochs" else ""))
    return "_".join(re.sub(r"[^\w.]+", "-", word) for word in words)


def footer(scene: FigureContext, rows: Sequence[MethodRow], *notes: str) -> str:
    """Return what a picture's numbers mean: the conditions of the tables, and ``notes``."""
    names = {run.summary["architecture"] for row in rows for run in scene.runs[row.name]}
    setting = replace(scene.setting, architecture=" and ".join(sorted(names)))
    seeds = sorted({seed for row in rows for seed in row.seeds})
    counts = sorted({len(row.seeds) for row in rows})
    number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    conditions = (
        f"Profile {profile_text(scene.comparison)}, {setting_text(setting)}, "
        f"selection {setting.selection}, {seeds_text(seeds)} (n\u00a0=\u00a0{number})."
    )
    shown = {row.name for row in scene.rows}
    hidden = scene.left_out if all(row.name in shown for row in rows) else ()
    others = f"{len(hidden)} other rows are not shown." if hidden else ""
    unsealed = [
        f"{row.name} {seeds_text(own)}"
        for row in rows
        if (own := [seed for seed in row.unsealed if seed in row.seeds])
    ]
    seals = f"Unsealed records: {', '.join(unsealed)}." if unsealed else ""
    files = "The runs read different data files." if len(scene.comparison.manifests) > 1 else ""
    untrained = " ".join(
        f"No training label of {', '.join(row.untrained)} in {row.name}."
        for row in rows
        if row.untrained
    )
    return " ".join(text for text in (conditions, *notes, untrained, others, seals, files) if text)
