"""The paper's tables 5 and 6: what an epoch costs, and where a step's time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Row
from mtl_bench.reporting.published import NAMES, read_published
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Format, Table, render

EPOCH_METHODS = ("ls", "mgda", "imtl", "nashmtl", "alignedmtl", "taskforce")
DATASETS = ("nyuv2", "cityscapes", "qm9")

PARTS = {
    "forward pass and losses": ("forward", ("network_forward_and_loss",)),
    "gradients, weights and agents": (
        "method",
        ("task_gradients", "agents_inference_and_loss", "agents_update"),
    ),
    "update of the network": ("optimizer", ("network_update",)),
}
"""Our phase of a step -> the paper's procedures that it holds."""


def render_cost_table(name: str, records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return a table of ``COST_TABLES``, per profile.

    Args:
        name: of ``COST_TABLES``.
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    profiles = sorted({record.profile for record in records if record.summary is not None})
    tables = [
        table
        for profile in profiles
        if (table := COST_TABLES[name]([r for r in records if r.profile == profile], profile))
    ]
    if tables:
        return render(tables, form, width)
    return (
        f"There is no finished run of {name} here. Start them with: mtl-bench train -m "
        f"dataset=nyuv2 method={','.join(EPOCH_METHODS)} profile=mini\n"
    )


def _epochs(records: Sequence[Record], profile: str) -> Table | None:
    rows: dict[str, dict[str, Row]] = {dataset: {} for dataset in DATASETS}
    for found in compare(runs_under(records, None)):
        for row in found.rows:
            rows.get(found.setting.dataset, {}).setdefault(row.name, row)
    if not any(rows.values()):
        return None
    printed = {row["method"]: row for row in read_published("table5_epoch_cost.csv")}
    heads, columns = [], []
    for dataset in DATASETS:
        own = [rows[dataset].get(method) for method in EPOCH_METHODS]
        heads.append(dataset)
        columns.append([_ratio(row.epoch_cost if row else None) for row in own])
        paper = [float(printed[NAMES[method]][dataset]) for method in EPOCH_METHODS]
        heads.append(f"paper {dataset}")
        columns.append([_ratio(seconds / paper[0]) for seconds in paper])
    return Table(
        f"table5: {profile}, cost of an epoch relative to LS",
        "method",
        [NAMES[method] for method in EPOCH_METHODS],
        Columns([], list[list[Cell]]()),
        Columns(heads, columns),
        [
            f"Profile {profile}. Median training time of an epoch relative to LS on the same "
            "device; beside it the paper's seconds relative to its LS, of other sizes on a GPU."
        ],
    )


def _parts(records: Sequence[Record], profile: str) -> Table | None:
    runs = [r for r in records if r.dataset == "nyuv2" and r.label == "taskforce" and r.summary]
    shares = [_seconds_per_step(run) for run in runs]
    found = [seconds for seconds in shares if seconds]
    if not found:
        return None
    own = {part: median(seconds[part] for seconds in found) for part in PARTS}
    rows = read_published("table6_cost_breakdown_nyuv2.csv")
    printed = {row["procedure"]: float(row["ms_per_sample"]) for row in rows}
    paper = {part: sum(printed[key] for key in keys) for part, (_, keys) in PARTS.items()}
    columns = []
    for seconds in (own, paper):
        total = sum(seconds.values())
        columns.append([Cell(f"{seconds[p] / total:.0%}", seconds[p] / total) for p in PARTS])
    milliseconds = [Cell(f"{1000 * own[part]:.1f}", 1000 * own[part]) for part in PARTS]
    assert runs[0].summary is not None
    data = runs[0].summary["data"]
    kind = data["kind"] if data["kind"] == "real" else data["kind"].upper()
    return Table(
        f"table6: {profile} / nyuv2, where a step of TaskForce spends its time",
        "",
        list(PARTS),
        Columns([], list[list[Cell]]()),
        Columns(["ms a step", "share", "paper, share"], [milliseconds, *columns]),
        [
            f"Profile {profile}, {kind} data, median over {len(found)} runs. The paper's own "
            "shares of agents are 17 % of a step; ours are in docs/benchmarks.md, since a step's "
            "record holds gradients and agents together."
        ],
    )


def _seconds_per_step(record: Record) -> dict[str, float] | None:
    assert record.summary is not None
    seconds, steps = record.summary["seconds"], record.summary.get("steps")
    if not steps or any(phase not in seconds for phase, _ in PARTS.values()):
        return None
    return {part: seconds[phase] / steps for part, (phase, _) in PARTS.items()}


def _ratio(value: float | None) -> Cell:
    return NO_CELL if value is None else Cell(f"x{value:.2f}", value)


COST_TABLES: dict[str, Callable[[Sequence[Record], str], Table | None]] = {
    "table5": _epochs,
    "table6": _parts,
}
