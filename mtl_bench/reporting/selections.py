"""The score under every rule that picks the reported epoch, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Comparison, MethodRow
from mtl_bench.reporting.notes import (
    left_out,
    place_text,
    profile_text,
    remarks,
    seeds_text,
    setting_text,
    usual_seeds,
)
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import Columns, Format, Table, render
from mtl_bench.reporting.tables import score_columns, seed_count
from mtl_bench.scores import Score
from mtl_bench.values import SELECTIONS


def render_selections(records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return one table per setting: a row per method, a column of the score per rule.

    Args:
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    settings: dict[tuple[str | int, ...], dict[str, Comparison]] = {}
    for rule in SELECTIONS:
        for found in compare(runs_under(records, rule)):
            s = found.setting
            place = (s.profile, s.dataset, s.protocol, s.architecture, s.epochs, s.data_source)
            settings.setdefault(place, {})[rule] = found
    if not settings:
        return "\n".join(left_out(records, None, width)) + "\n"
    return render([_table(found) for _, found in sorted(settings.items())], form, width)


def _table(found: dict[str, Comparison]) -> Table:
    every: dict[str, MethodRow] = {row.name: row for each in found.values() for row in each.rows}
    first = next(iter(found.values()))
    heads, cells = [], []
    for rule, each in found.items():
        rows: dict[str, MethodRow] = {row.name: row for row in each.rows}
        head, *_ = shown = score_columns(each.score, [rows.get(name) for name in every])
        heads.append(f"{head} {rule}")
        cells.append(shown[head])
    seeds = sorted({seed for each in found.values() for row in each.rows for seed in row.seeds})
    return Table(
        f"{place_text(first)}: rules that pick the epoch",
        "method",
        list(every),
        Columns(),
        Columns([*heads, "n"], [*cells, [seed_count(row) for row in every.values()]]),
        [
            f"Profile {profile_text(first)}, {setting_text(first.setting)}, "
            f"{seeds_text(seeds)}. {_meaning(first.score)} No rule looks at the test set.",
            *(
                f"- {name}: {note}."
                for name, row in every.items()
                for note in remarks(row, usual_seeds(list(every.values())))
            ),
        ],
    )


def _meaning(score: Score) -> str:
    if not score.is_relative:
        return f"{score.label}: mean over the tasks."
    return (
        "Δm under each rule is against our own STL runs under the same rule and of the same seeds."
    )
