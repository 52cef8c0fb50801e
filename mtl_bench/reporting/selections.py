"""The score under every rule that picks the reported epoch, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Comparison, Setting
from mtl_bench.reporting.notes import (
    cautions,
    left_out,
    place_text,
    profile_text,
    remarks,
    seeds_text,
    setting_text,
    usual_seeds,
)
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render
from mtl_bench.reporting.tables import SCORED, score_columns, seed_count
from mtl_bench.scores import Score
from mtl_bench.values import SELECTIONS


def render_selections(records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return one table per setting: a row per method, a column of the score per rule.

    Args:
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    settings: dict[Setting, dict[str, Comparison]] = {}
    for rule in SELECTIONS:
        for found in compare(runs_under(records, rule), records=records):
            settings.setdefault(replace(found.setting, selection=""), {})[rule] = found
    blocks = [render([_table(found) for _, found in sorted(settings.items())], form, width)]
    if form == "markdown":
        blocks += [f"{line}\n" for line in left_out(records, None, width)]
    return "\n".join(filter(None, blocks))


def _table(found: Mapping[str, Comparison]) -> Table:
    names = list(dict.fromkeys(row.name for each in found.values() for row in each.rows))
    first = next(iter(found.values()))
    columns, counts = dict[str, list[Cell]](), dict[str, dict[str, list[Cell]]]()
    for rule, each in found.items():
        by_name = {row.name: row for row in each.rows}
        rows = [by_name.get(name) for name in names]
        head, *_ = shown = score_columns(each.score, rows)
        columns[f"{head} {rule}"] = shown[head]
        seeds = {"n": [seed_count(row) if row else NO_CELL for row in rows]}
        counts[rule] = seeds | {SCORED: shown[SCORED]} if SCORED in shown else seeds
    every = sorted({seed for each in found.values() for row in each.rows for seed in row.seeds})
    return Table(
        f"{place_text(first)}: rules that pick the epoch",
        "method",
        names,
        Columns(),
        Columns.of(columns | _joined(counts)),
        [
            f"Profile {profile_text(first)}, {setting_text(first.setting)}, "
            f"{seeds_text(every)}. {_meaning(first.score)} No rule looks at the test set.",
            *_notes(found, names),
            *dict.fromkeys(caution for each in found.values() for caution in cautions(each)),
        ],
    )


def _joined(counts: Mapping[str, dict[str, list[Cell]]]) -> dict[str, list[Cell]]:
    """Return the counts of seeds: once where all rules agree, or else of each rule."""
    first, *others = counts.values()
    if all(own == first for own in others):
        return first
    return {f"{head} {rule}": own[head] for rule, own in counts.items() for head in own}


def _notes(found: Mapping[str, Comparison], names: Sequence[str]) -> list[str]:
    """Return the notes on every row; one that not all rules give names those that do."""
    rules: dict[tuple[str, str], list[str]] = {}
    for rule, each in found.items():
        usual = usual_seeds(each.rows)
        for row in each.rows:
            for note in (*row.notes, *remarks(row, usual)):
                rules.setdefault((row.name, note), []).append(rule)
    notes = []
    for (name, note), own in sorted(rules.items(), key=lambda item: names.index(item[0][0])):
        under = f" ({', '.join(own)})" if len(own) < len(found) else ""
        notes.append(f"- {name}: {note}{under}.")
    return notes


def _meaning(score: Score) -> str:
    if not score.is_relative:
        return f"{score.label}: mean over the tasks."
    return (
        "Δm under each rule is against our own STL runs under the same rule and of the same seeds."
    )
