"""Tables of finished runs.

Under every table stands what its numbers mean: profile, data, protocol, selection rule, seeds and
the reference of Δm, so that none of them travels without its conditions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Baseline, Column, Comparison, Row, Spread
from mtl_bench.reporting.inference import Mark, marks, rank_correlation
from mtl_bench.reporting.layout import HOW_TO_START, NOTHING
from mtl_bench.reporting.published import published_delta
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render, wrap

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render_tables(
    records: Sequence[Record],
    *,
    selection: str | None = None,
    baseline: Baseline = "own",
    form: Format = "markdown",
    width: int = 100,
) -> str:
    """Return one table per profile, data set, protocol, architecture and length.

    Args:
        records: as ``find_records`` returns them; unfinished ones are counted below the tables.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        baseline: what Δm is against.
        form: what the tables are written in.
        width: terminal cells to fill. A table that is wider is turned round, or cut by columns.
    """
    if not records:
        return HOW_TO_START + "\n"
    found = compare(runs_under(records, selection), baseline)
    blocks = [render(map(table_of, found), form, width)] if found else []
    if form == "markdown":
        blocks += [f"{line}\n" for line in left_out(records, selection, width)]
    return "\n".join(blocks)


def table_of(found: Comparison) -> Table:
    """Return a comparison as a table."""
    names, notes = _marked_names(found)
    setting = found.setting
    return Table(
        f"{setting.profile} / {setting.dataset}",
        "method",
        names,
        metric_columns(found.columns, found.rows),
        _verdict(found),
        [f"{conditions(found)} {MARKS} {COSTS}", *agreement(found), *notes],
    )


MARKS = (
    "Bold: the best multi-task method, where 95 % bootstrap intervals over seeds do not overlap; "
    "italic: likewise the second."
)

COSTS = (
    "MR: mean over metrics of the rank among the multi-task methods. P(> LS): probability that a "
    "run beats one of LS, averaged over metrics. Epoch cost: median training time of an epoch "
    "relative to LS."
)


COMPARABLE = 5
"""Methods from which on a rank correlation is told."""


def agreement(found: Comparison) -> list[str]:
    """Return a line on how far our order of the methods is the published one, where that exists."""
    pairs = [
        (row.delta_m.mean, float(printed))
        for row in found.rows
        if row.delta_m
        and row.name != "stl"
        and (printed := published_delta(found.setting, row.name))
    ]
    if len(pairs) < COMPARABLE:
        return []
    correlation = rank_correlation(*zip(*pairs, strict=True))
    if correlation is None:
        return []
    return [
        f"Spearman's rank correlation of Δm with the paper's, {len(pairs)} methods without STL: "
        f"{correlation:+.2f}."
    ]


def metric_columns(columns: Sequence[Column], rows: Sequence[Row | None]) -> Columns:
    """Return a column per metric; a row that is None has no values.

    The best and the second best multi-task methods are marked where 95 % bootstrap intervals over
    seeds keep them apart from what follows.
    """
    with_metric = len({column.metric for column in columns}) > 1
    cells = []
    for index, column in enumerate(columns):
        spreads = [row.metrics[index] if row else None for row in rows]
        intervals = [row.intervals[index] if row else None for row in rows]
        own = marks(_competing(rows, spreads), intervals, column.higher_is_better)
        cells.append(_cells(spreads, column.decimals, own))
    return Columns([metric_header(c, with_metric=with_metric) for c in columns], cells)


def _competing(rows: Sequence[Row | None], spreads: Sequence[Spread | None]) -> list[float | None]:
    """Return the means of the multi-task methods: STL is what they are held against."""
    return [
        value.mean if row and value and not row.name.startswith("stl") else None
        for row, value in zip(rows, spreads, strict=True)
    ]


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


def delta_cells(rows: Sequence[Row | None]) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """Return the cells of Δm, its interval and Δt."""
    deltas = [row.delta_m if row else None for row in rows]
    intervals = [row.delta_interval if row else None for row in rows]
    own = marks(_competing(rows, deltas), intervals, higher=False)
    return (
        _cells(deltas, 2, own, signed=True),
        [NO_CELL if x is None else Cell(f"[{x.low:+.1f}, {x.high:+.1f}]") for x in intervals],
        _cells([row.delta_t if row else None for row in rows], 2, [""] * len(rows), signed=True),
    )


def _verdict(found: Comparison) -> Columns:
    """Return the columns of Δm, Δt and what else is said about a row."""
    rows = found.rows
    delta_m, interval, delta_t = delta_cells(rows)
    columns = {
        "Δm [%] ↓": delta_m,
        "95 %": interval,
        "Δt [%] ↓": delta_t,
        "MR ↓": [_number(row.mean_rank, "{:.2f}") for row in rows],
        "P(> LS) ↑": [_number(row.improvement, "{:.2f}") for row in rows],
        "n": [Cell(str(len(row.seeds)), len(row.seeds)) for row in rows],
        "epoch cost": [_number(row.epoch_cost, "x{:.2f}") for row in rows],
        "parameters": [_number(row.parameters, "{:,}") for row in rows],
        "paper Δm": [_printed(published_delta(found.setting, row.name)) for row in rows],
    }
    shown = {
        head: cells
        for head, cells in columns.items()
        if head in ALWAYS or any(cell != NO_CELL for cell in cells)
    }
    return Columns(list(shown), list(shown.values()))


ALWAYS = ("Δm [%] ↓", "Δt [%] ↓", "n", "epoch cost")
"""Columns of the verdict that are shown even where they are empty."""


def _number(value: float | None, form: str) -> Cell:
    return NO_CELL if value is None else Cell(form.format(value), value)


def _printed(text: str | None) -> Cell:
    return NO_CELL if text is None else Cell(text, float(text))


def _marked_names(found: Comparison) -> tuple[list[str], list[str]]:
    """Return the rows' names with the marks of their notes, and the notes."""
    common = Counter(row.seeds for row in found.rows).most_common(1)[0][0]
    numbers: dict[str, str] = {}
    names = []
    for row in found.rows:
        own = [*row.notes]
        if row.seeds != common:
            own.append(f"only {seeds_text(row.seeds)}")
        for note in own:
            numbers.setdefault(note, str(len(numbers) + 1).translate(SUPERSCRIPTS))
        names.append(row.name + ",".join(numbers[note] for note in own))
    return names, [f"- {mark} {note}." for note, mark in numbers.items()] + list(_warnings(found))


def _warnings(found: Comparison) -> Iterator[str]:
    if any(row.epoch_cost is None for row in found.rows):
        yield f"- Epoch cost {NOTHING}: needs an LS run on the same device."
    if len(found.manifests) > 1:
        yield f"- The runs read different data files: {', '.join(found.manifests)}."


def conditions(found: Comparison) -> str:
    """Return what the numbers of a comparison mean, without those of cost."""
    setting = found.setting
    seeds = sorted({seed for row in found.rows for seed in row.seeds})
    metric_names = {column.metric for column in found.columns}
    metric = f"metric {metric_names.pop()}, " if len(metric_names) == 1 else ""
    kind = setting.data_kind if setting.data_kind == "real" else setting.data_kind.upper()
    against = {
        "own": "our own STL runs above, of the same seeds",
        "published": "the PUBLISHED single-task values, of other data sizes and networks",
    }[found.baseline]
    return (
        f"Profile {setting.profile}, {kind} data ({setting.data_source}), protocol "
        f"{setting.protocol}, architecture {setting.architecture}, {setting.epochs} epochs, "
        f"{metric}selection {setting.selection}, {seeds_text(seeds)}; mean ± sample "
        f"standard deviation over n seeds. Δm and Δt are against {against}."
    )


def seeds_text(seeds: Sequence[int]) -> str:
    """Return ``seed 0`` or ``seeds 0, 1``."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def left_out(records: Sequence[Record], selection: str | None, width: int) -> list[str]:
    """Return what to say about records that no table shows."""
    finished = [record for record in records if record.summary is not None]
    lines = []
    if len(finished) < len(records):
        states = Counter(record.state for record in records if record.summary is None)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        lines.append(f"Not shown: {counts} (see: mtl-bench status).")
    without = len(finished) - len(runs_under(finished, selection))
    if without:
        rules = sorted({rule for r in finished if r.summary for rule in r.summary["metrics"]})
        lines.append(
            f"Not shown: {without} without metrics under the selection {selection}; "
            f"there are: {', '.join(rules)}."
        )
    return [wrap(line, width) for line in lines]
