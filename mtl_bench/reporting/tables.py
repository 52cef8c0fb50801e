"""Tables of finished runs, as Markdown that also reads well in a terminal.

Under every table stands what its numbers mean: profile, data, protocol, selection rule, seeds and
the reference of Δm, so that none of them travels without its conditions.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from mtl_bench.records.reader import Record
from mtl_bench.reporting.layout import (
    NOTHING,
    column_width,
    fitting_chunks,
    markdown_table,
    table_width,
    transpose,
)
from mtl_bench.reporting.statistics import Column, Comparison, Spread, compare, runs_under

HOW_TO_START = (
    "There are no run records here yet. Start one with: "
    "mtl-bench train dataset=qm9 method=ls profile=mini seed=0"
)
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Cells = list[tuple[str, Sequence[str]]]


def render_tables(
    records: Sequence[Record], *, selection: str | None = None, width: int = 100
) -> str:
    """Return one Markdown table per profile, data set, protocol, architecture and length.

    Args:
        records: as ``find_records`` returns them; unfinished ones are counted below the tables.
        selection: the rule that picks the epoch of the metrics; None for each record's own.
        width: terminal cells to fill. A table that is wider is turned round, or cut by columns.
    """
    if not records:
        return HOW_TO_START + "\n"
    blocks = []
    by_place = sorted(records, key=lambda r: (r.profile, r.dataset))
    for place, members in groupby(by_place, key=lambda r: (r.profile, r.dataset)):
        own = list(members)
        blocks.append(f"## {place[0]} / {place[1]}")
        blocks.extend(_comparison(found, width) for found in compare(runs_under(own, selection)))
        blocks.extend(_left_out(own, selection, width))
    return "\n\n".join(blocks) + "\n"


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


def _comparison(found: Comparison, width: int) -> str:
    names, notes = _marked_names(found)
    metrics, verdict = _cells(found)
    lead: tuple[str, Sequence[str]] = ("method", names)
    tables = ["\n".join(markdown_table(columns)) for columns in _fit(lead, metrics, verdict, width)]
    below = [
        f"{conditions(found)} Epoch cost: median training time of an epoch relative to LS.",
        *notes,
    ]
    return "\n\n".join(tables) + "\n\n" + "\n".join(wrap(line, width) for line in below)


def _cells(found: Comparison) -> tuple[Cells, Cells]:
    """Return the columns of the metrics, and those of Δm, Δt, n and the epoch cost."""
    with_metric = len({column.metric for column in found.columns}) > 1
    metrics: Cells = [
        (
            metric_header(column, with_metric=with_metric),
            [spread_text(row.metrics[index], column.decimals) for row in found.rows],
        )
        for index, column in enumerate(found.columns)
    ]
    costs = [row.epoch_cost for row in found.rows]
    verdict: Cells = [
        ("Δm [%] ↓", [spread_text(row.delta_m, 2, signed=True) for row in found.rows]),
        ("Δt [%] ↓", [spread_text(row.delta_t, 2, signed=True) for row in found.rows]),
        ("n", [str(len(row.seeds)) for row in found.rows]),
        ("epoch cost", [NOTHING if cost is None else f"x{cost:.2f}" for cost in costs]),
    ]
    return metrics, verdict


def _fit(
    lead: tuple[str, Sequence[str]], metrics: Cells, verdict: Cells, width: int
) -> Iterable[Cells]:
    """Return one table, one turned round, or the verdict first and the metrics in pieces."""
    whole = [lead, *metrics, *verdict]
    if table_width(whole) <= width:
        return [whole]
    turned: Cells = [*transpose(whole)]
    if table_width(turned) <= width:
        return [turned]
    widths = [column_width(head, cells) + 3 for head, cells in metrics]
    pieces = fitting_chunks(widths, width - table_width([lead]))
    return [[lead, *verdict], *([lead, *metrics[piece]] for piece in pieces)]


def _marked_names(found: Comparison) -> tuple[list[str], list[str]]:
    """Return the rows' names with the marks of their notes, and the notes."""
    common = Counter(row.seeds for row in found.rows).most_common(1)[0][0]
    marks: dict[str, str] = {}
    names = []
    for row in found.rows:
        own = [*row.notes]
        if row.seeds != common:
            own.append(f"only {_seeds_text(row.seeds)}")
        for note in own:
            marks.setdefault(note, str(len(marks) + 1).translate(SUPERSCRIPTS))
        names.append(row.name + ",".join(marks[note] for note in own))
    notes = [f"- {mark} {note}." for note, mark in marks.items()]
    if any(row.epoch_cost is None for row in found.rows):
        notes.append(f"- Epoch cost {NOTHING}: needs an LS run on the same device.")
    if len(found.manifests) > 1:
        notes.append(f"- The runs read different data files: {', '.join(found.manifests)}.")
    return names, notes


def conditions(found: Comparison) -> str:
    """Return what the numbers of a comparison mean, without those of cost."""
    setting = found.setting
    seeds = sorted({seed for row in found.rows for seed in row.seeds})
    metric_names = {column.metric for column in found.columns}
    metric = f"metric {metric_names.pop()}, " if len(metric_names) == 1 else ""
    kind = setting.data_kind if setting.data_kind == "real" else setting.data_kind.upper()
    return (
        f"Profile {setting.profile}, {kind} data ({setting.data_source}), protocol "
        f"{setting.protocol}, architecture {setting.architecture}, {setting.epochs} epochs, "
        f"{metric}selection {setting.selection}, {_seeds_text(seeds)}; mean ± sample "
        "standard deviation over n seeds. Δm and Δt are against our own STL runs above, of the "
        "same seeds."
    )


def _seeds_text(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _left_out(records: list[Record], selection: str | None, width: int) -> list[str]:
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


def wrap(line: str, width: int) -> str:
    """Break a line of text, an item of a list with a hanging indent."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
