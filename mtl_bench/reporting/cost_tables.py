"""What runs cost: the paper's tables 5 and 6 of epochs and steps, and the steps of each method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from mtl_bench.config.groups import find_choices, find_config_folder
from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import Comparison, MethodRow, ScoredRun, Times
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.display import method_name
from mtl_bench.reporting.experiments import find_published, read_published
from mtl_bench.reporting.figures.context import FigureContext
from mtl_bench.reporting.grouping import assignments, shared_overrides
from mtl_bench.reporting.notes import (
    cautions,
    costless,
    kind_text,
    place_text,
    profile_text,
    remarks,
    seeds_text,
    setting_text,
    unsealed_note,
    usual_seeds,
    with_text,
)
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import Cell, Columns, Format, Table, number_cell, render
from mtl_bench.reporting.tables import cost_columns, filled, parameter_columns, seed_count

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


def epoch_methods() -> dict[str, dict[str, str]]:
    """Return method -> its row of the paper's table 5."""
    names = {method_name(method): method for method in find_choices("method")}
    table = _published("table5_epoch_cost.csv")
    return {names[name]: row for name, row in table.items()}


def _published(name: str) -> dict[str, dict[str, str]]:
    return read_published(find_published(find_config_folder(), name))


def render_cost_table(name: str, records: Sequence[Record], *, form: Format, width: int) -> str:
    """Return a table of ``COST_TABLES``, per profile; "" without a finished run of it.

    Args:
        name: of ``COST_TABLES``.
        records: as ``find_records`` returns them.
        form: what the tables are written in.
        width: terminal cells to fill.
    """
    profiles = sorted({record.profile for record in records if record.summary is not None})
    make = COST_TABLES[name]
    tables = (make([r for r in records if r.profile == profile], profile) for profile in profiles)
    return render(tables, form, width)


def _epochs(records: Sequence[Record], profile: str) -> Table | None:
    every = compare(runs_under(records, None))
    places = {name: [found for found in every if _is_on(found, name)] for name in DATASETS}
    if not any(places.values()):
        return None
    printed = epoch_methods()
    heads, columns, notes = list[str](), list[Sequence[Cell]](), list[str]()
    for dataset, comparisons in places.items():
        shown: Sequence[Comparison | None] = comparisons or [None]
        for found in shown:
            rows = {row.label: row for row in found.rows} if found else {}
            own = [rows.get(method) for method in printed]
            head = _head(dataset, found, len(comparisons))
            priced = cost_columns(head, [row.epoch_cost if row else None for row in own])
            priced = filled(priced) or {head: priced[head]}
            heads += priced
            columns += priced.values()
            if found:
                notes.append(f"- {head}: {_conditions(found, [row for row in own if row])}.")
                notes += [
                    f"- {head}: {note.removeprefix('- ')}"
                    for note in costless({method_name(r.label): r.epoch_cost for r in own if r})
                ]
        paper = [float(row[dataset]) for row in printed.values()]
        heads.append(f"paper {dataset}")
        columns.append([number_cell(seconds / paper[0], "x{:.2f}") for seconds in paper])
    return Table(
        f"table5: {profile}, cost of an epoch relative to LS",
        "method",
        [method_name(method) for method in printed],
        Columns(),
        Columns(heads, columns),
        [
            f"Profile {profile}. Training time of an epoch relative to LS with the same seed on "
            "the same device under the same load; CPU: likewise of the process's CPU time; medians "
            "over n seeds. Beside it the paper's seconds relative to its LS, of other sizes on a "
            "GPU.",
            *notes,
        ],
    )


def _is_on(found: Comparison, dataset: str) -> bool:
    """Tell whether a comparison has one of the table's methods on a data set."""
    names = {row.label for row in found.rows}
    return found.setting.dataset == dataset and not names.isdisjoint(epoch_methods())


def _head(dataset: str, found: Comparison | None, count: int) -> str:
    """Return the column's name; what tells several apart stands in the notes, too."""
    if found is None:
        return dataset
    setting = found.setting
    words = [dataset] if setting.data_kind == "real" else [dataset, setting.data_kind.upper()]
    if count > 1:
        words += [setting.architecture, setting.protocol, f"{setting.epochs} epochs"]
        words += [setting.selection, setting.data_source]
    return " ".join(words)


def _conditions(found: Comparison, rows: Sequence[MethodRow]) -> str:
    seeds = sorted({seed for row in rows for seed in row.seeds})
    named = [
        f"{method_name(row.label)} {note}"
        for row in rows
        for note in remarks(row, usual_seeds(rows))
    ]
    return ", ".join([*found.overrides, setting_text(found.setting), seeds_text(seeds), *named])


def _parts(records: Sequence[Record], profile: str) -> Table | None:
    runs = [r for r in records if r.dataset == "nyuv2" and r.label == "taskforce" and r.summary]
    timed = [(run, seconds) for run in runs if (seconds := _seconds_per_step(run))]
    found = [seconds for _, seconds in timed]
    if not found:
        return None
    own = {part: median(seconds[part] for seconds in found) for part in PARTS}
    rows = _published("table6_cost_breakdown_nyuv2.csv")
    printed = {procedure: float(row["ms_per_sample"]) for procedure, row in rows.items()}
    paper = {part: sum(printed[key] for key in keys) for part, (_, keys) in PARTS.items()}
    columns = []
    for seconds in (own, paper):
        total = sum(seconds.values())
        columns.append([number_cell(seconds[part] / total, "{:.0%}") for part in PARTS])
    milliseconds = [number_cell(1000 * own[part], "{:.1f}") for part in PARTS]
    kinds = sorted({run.summary["data"]["kind"] for run, _ in timed if run.summary})
    kind = " and ".join(map(kind_text, kinds))
    overrides = assignments(shared_overrides([run.overrides for run, _ in timed]))
    seeds = seeds_text(sorted({run.seed for run, _ in timed}))
    return Table(
        f"table6: {profile} / nyuv2, where a step of TaskForce spends its time",
        "",
        list(PARTS),
        Columns(),
        Columns(["ms a step", "share", "paper, share"], [milliseconds, *columns]),
        [
            f"Profile {profile}{with_text(overrides)}, {kind}, {seeds}, median over "
            f"{len(found)} runs. The paper's own shares of agents are 17 % of a step; "
            "ours are in docs/benchmarks.md, since the "
            "record of a step holds gradients and agents together.",
            *(
                f"- {note}."
                for note in unsealed_note([run.seed for run, _ in timed if not run.sealed])
            ),
        ],
    )


def _seconds_per_step(record: Record) -> dict[str, float] | None:
    assert record.summary is not None
    seconds, steps = record.summary["seconds"], record.summary.get("steps")
    if not steps or any(phase not in seconds for phase, _ in PARTS.values()):
        return None
    return {part: seconds[phase] / steps for part, (phase, _) in PARTS.items()}


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
        "CPU [ms]": [_cpu_milliseconds(row.step_times) for row in rows],
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
            "number of seeds behind them. CPU: the process's CPU time of a step; the other "
            "milliseconds are a step's by phase and by the clock, under whatever load there was; "
            "medians over n seeds. Shared: parameters that all tasks share.",
            *(f"- {row.name}: {note}." for row in rows for note in remarks(row, usual)),
            *costless({row.name: own for row, own in zip(rows, costs, strict=True)}),
            *cautions(found),
        ],
    )


def _cpu_milliseconds(times: Times) -> Cell:
    told = [1000 * time.cpu for time in times.values() if time.cpu > 0]
    return number_cell(median(told) if told else None, "{:.1f}")


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


COST_TABLES: dict[str, Callable[[Sequence[Record], str], Table | None]] = {
    "table5": _epochs,
    "table6": _parts,
}
