"""Tables of finished runs.

Under every table stands what its numbers mean: profile, data, protocol, selection rule, seeds and
the reference of Δm, so that none of them travels without its conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from statistics import median

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import (
    Baseline,
    Column,
    Comparison,
    MethodRow,
    RelativeCost,
    Spread,
)
from mtl_bench.reporting.experiments import published_delta
from mtl_bench.reporting.inference import FEWEST, Interval, Mark, marks
from mtl_bench.reporting.layout import NOTHING
from mtl_bench.reporting.notes import (
    MARKS,
    VERDICTS,
    agreement,
    cautions,
    conditions,
    costless,
    few_seeds,
    left_out,
    numbered_notes,
    place_text,
)
from mtl_bench.reporting.statistics import compare_parts, runs_under
from mtl_bench.reporting.table import (
    NO_CELL,
    Cell,
    Columns,
    Format,
    Table,
    number_cell,
    render,
)
from mtl_bench.reporting.verdicts import spread
from mtl_bench.scores import Score


def render_tables(
    records: Sequence[Record],
    *,
    selection: str | None = None,
    baseline: Baseline = "own",
    form: Format = "markdown",
    width: int = 100,
) -> str:
    """Return a table per profile, data set, protocol, architecture and length.

    Ablations have a table of their own.

    Args:
        records: as ``find_records`` returns them; unfinished ones are counted below the tables.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        baseline: what Δm is against.
        form: what the tables are written in.
        width: terminal cells to fill. A table that is wider is turned round, or cut by columns.
    """
    found = compare_parts(runs_under(records, selection), baseline, records)
    blocks = [render(map(table_of, found), form, width)] if found else []
    if form == "markdown":
        blocks += [f"{line}\n" for line in left_out(records, selection, width)]
    return "\n".join(blocks)


def table_of(found: Comparison) -> Table:
    """Return a comparison as a table."""
    marks, notes = numbered_notes(found)
    verdict = _verdict(found)
    meanings = [text for head, text in VERDICTS.items() if head in verdict.heads]
    return Table(
        place_text(found),
        "method",
        [row.name for row in found.rows],
        metric_columns(found.columns, found.rows),
        verdict,
        [
            " ".join([conditions(found), MARKS, *meanings]),
            *few_seeds(found.rows),
            *agreement(found),
            *notes,
            *costless({row.name: row.epoch_cost for row in found.rows}),
            *cautions(found),
        ],
        marks,
    )


def metric_columns(columns: Sequence[Column], rows: Sequence[MethodRow | None]) -> Columns:
    """Return a column per metric; a row that is None has no values.

    The best and the second best multi-task methods are marked where 95 % bootstrap intervals over
    three or more seeds keep them apart from what follows.
    """
    with_metric = len({column.metric for column in columns}) > 1
    cells = []
    for index, column in enumerate(columns):
        spreads = [row.metrics[index] if row else None for row in rows]
        intervals = [
            row.intervals[index] if row and len(row.seeds) >= FEWEST else None for row in rows
        ]
        own = marks(_competing(rows, spreads), intervals, column.higher_is_better)
        cells.append(_cells(spreads, column.decimals, own))
    return Columns([metric_header(c, with_metric=with_metric) for c in columns], cells)


def _competing(
    rows: Sequence[MethodRow | None], spreads: Sequence[Spread | None]
) -> list[float | None]:
    """Return the means of the multi-task methods: STL is what they are held against."""
    return [
        value.mean if row and value and row.label != "stl" else None
        for row, value in zip(rows, spreads, strict=True)
    ]


def _telling(rows: Sequence[MethodRow | None]) -> list[Interval | None]:
    """Return the intervals of scores over enough seeds to call a row the best by."""
    return [row.score_interval if row and len(row.scored) >= FEWEST else None for row in rows]


def _cells(
    spreads: Sequence[Spread | None], decimals: int, own: Sequence[Mark], *, signed: bool = False
) -> list[Cell]:
    return [
        NO_CELL
        if value is None
        else Cell(spread_text(value, decimals, signed=signed), value.mean, value.sd, mark)
        for value, mark in zip(spreads, own, strict=True)
    ]


def metric_header(column: Column, *, with_metric: bool) -> str:
    """Return for instance ``ε_HOMO [meV] ↓``, or ``Depth abs_err [m] ↓`` with the metric's name."""
    name = f"{column.label} {column.metric}" if with_metric else column.label
    unit = f" [{column.unit}]" if column.unit else ""
    return f"{name}{unit} {'↑' if column.higher_is_better else '↓'}"


def spread_text(value: Spread | None, decimals: int, *, signed: bool = False) -> str:
    """Return ``mean ± sd``, the mean alone of a single seed, a dash of none."""
    if value is None:
        return NOTHING
    mean = f"{value.mean:{'+' if signed else ''}.{decimals}f}"
    if float(mean) == 0:
        mean = mean.lstrip("+-")
    return mean if value.sd is None else f"{mean} ± {value.sd:.{decimals}f}"


def score_text(value: Spread, score: Score) -> str:
    """Return the mean of a score, and its deviation, without the unit."""
    return spread_text(value, score.decimals, signed=score.is_relative)


def score_columns(score: Score, rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    """Return the columns of a score, the first of them under its heading.

    Δm has its interval and Δt beside it, a mean of a metric its interquartile mean and an interval.
    """
    return (_delta_columns if score.is_relative else _mean_columns)(score, rows)


INTERVAL = "95 %"
"""Head of the column of a score's interval."""

DELTA_T = "Δt [%] ↓"
SCORED = "Δm, n"


def _delta_columns(score: Score, rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    deltas = [row.score if row else None for row in rows]
    intervals = [row.score_interval if row else None for row in rows]
    own = marks(_competing(rows, deltas), _telling(rows), score.higher_is_better)
    delta_t = [row.delta_t if row else None for row in rows]
    return {
        score.heading: _cells(deltas, score.decimals, own, signed=True),
        INTERVAL: [interval_cell(interval, "{:+.1f}") for interval in intervals],
        DELTA_T: _cells(delta_t, score.decimals, [""] * len(rows), signed=True),
        **_scored_counts(rows),
    }


def _scored_counts(rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    """Return a column of how many seeds Δm is over, none where that is n in every row."""
    if all(row is None or row.scored in ((), row.seeds) for row in rows):
        return {}
    return {SCORED: [number_cell(len(row.scored) or None if row else None, "{}") for row in rows]}


def _mean_columns(score: Score, rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    middles = [
        None if row is None or row.middle is None else Spread(row.middle, None) for row in rows
    ]
    intervals = [row.score_interval if row else None for row in rows]
    own = marks(_competing(rows, middles), _telling(rows), score.higher_is_better)
    means = [row.score if row else None for row in rows]
    form = f"{{:.{score.decimals}f}}"
    return {
        score.heading: _cells(means, score.decimals, [""] * len(rows)),
        f"IQM {score.arrow}": _cells(middles, score.decimals, own),
        INTERVAL: [interval_cell(interval, form) for interval in intervals],
    }


def interval_cell(interval: Interval | None, form: str) -> Cell:
    """Return an interval, whose ends ``form`` writes; a dash of none."""
    if interval is None:
        return NO_CELL
    low, high = map(form.format, interval)
    return Cell(f"[{low}, {high}]", interval=interval)


def _verdict(found: Comparison) -> Columns:
    """Return the columns of the score and what else is said about a row."""
    rows = found.rows
    columns = {
        **score_columns(found.score, rows),
        "MR ↓": [number_cell(row.mean_rank, "{:.2f}") for row in rows],
        "P(> LS) ↑": [number_cell(row.improvement, "{:.2f}") for row in rows],
        "n": [seed_count(row) for row in rows],
        **learning_columns(rows),
        **exploded_column(rows),
        **cost_columns("epoch cost", [row.epoch_cost for row in rows]),
        **parameter_columns(rows),
        "paper Δm": [_printed(published_delta(found.setting, row.label)) for row in rows],
    }
    return Columns.of(filled(columns))


def filled(columns: Mapping[str, list[Cell]]) -> dict[str, list[Cell]]:
    """Return the columns of a verdict that say something."""
    return {
        head: cells
        for head, cells in columns.items()
        if head in ALWAYS or any(cell != NO_CELL for cell in cells)
    }


def exploded_column(rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    """Return a column of how many further runs have exploded, empty if none has."""
    counts = [len(row.exploded) if row else 0 for row in rows]
    return {"exploded": [number_cell(n, "{}") if any(counts) else NO_CELL for n in counts]}


ALWAYS = ("Δm [%] ↓", DELTA_T, "n")
"""Columns of the verdict that are shown even where they are empty."""


def learning_columns(rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    """Return the columns of how soon tasks were learned: the area, and the median of the steps."""
    learning = [row.learning if row else () for row in rows]
    areas = [spread([area for area, _ in own]) if own else None for own in learning]
    return {
        "AUC ↑": _cells(areas, 3, [""] * len(rows)),
        "steps to 0.8 ↓": [_steps([steps for _, steps in own]) for own in learning],
    }


def _steps(found: Sequence[int | None]) -> Cell:
    """Return the median steps, if most seeds made it, with their number if not all did."""
    if not found:
        return NO_CELL
    made = sum(steps is not None for steps in found)
    if not made:
        return Cell("never")
    counted = "" if made == len(found) else f" ({made} of {len(found)})"
    middle = median(inf if steps is None else steps for steps in found)
    return Cell(f"–{counted}") if middle == inf else Cell(f"{middle:,.0f}{counted}", middle)


def parameter_columns(rows: Sequence[MethodRow | None]) -> dict[str, list[Cell]]:
    """Return a column of the parameters of all networks, and of each where there are several."""
    counts = [row.parameters if row else {} for row in rows]
    networks = dict.fromkeys(key for own in counts for key in own if key not in ("total", "shared"))
    heads = {"parameters": "total"} | {f"{network} parameters": network for network in networks}
    return {
        head: [number_cell(own.get(key), "{:,}") for own in counts] for head, key in heads.items()
    }


def cost_columns(head: str, costs: Sequence[RelativeCost | None]) -> dict[str, list[Cell]]:
    """Return the columns of a cost: by the clock, of CPU time, and over how many seeds."""
    return {
        head: [number_cell(own and own.ratio, "x{:.2f}") for own in costs],
        f"{head}, CPU": [number_cell(own and own.cpu, "x{:.2f}") for own in costs],
        f"{head}, n": [number_cell((own and own.seeds) or None, "{}") for own in costs],
    }


def seed_count(row: MethodRow) -> Cell:
    """Return n."""
    return Cell(str(len(row.seeds)), len(row.seeds))


def _printed(text: str | None) -> Cell:
    return NO_CELL if text is None else Cell(text, float(text))
