"""From run records to comparable rows: who is compared with whom, over which seeds.

A comparison holds only runs that differ in nothing but method, variant and seed. Its single-task
reference S is the mean of our own STL runs of the same comparison over the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import fmean, median, stdev
from typing import Any

from mtl_bench.records.reader import Record
from mtl_bench.reporting.delta import Metrics, delta_m, delta_t
from mtl_bench.reporting.layout import row_order


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; no deviation of a single one."""

    mean: float
    sd: float | None


@dataclass(frozen=True, order=True)
class Setting:
    """What all runs of one comparison have in common."""

    profile: str
    dataset: str
    protocol: str
    architecture: str
    epochs: int
    selection: str
    data_kind: str
    data_source: str


@dataclass(frozen=True)
class Column:
    """One metric of one task, as the record describes it."""

    task: str
    metric: str
    label: str
    unit: str
    higher_is_better: bool
    decimals: int


@dataclass(frozen=True)
class Row:
    """One method over its seeds.

    Args:
        name: the label, with the hash appended where a seed was run in two configurations.
        seeds: seeds behind the metrics.
        metrics: one entry per column, None where a run lacks the metric.
        delta_m: Δm in percent over the seeds that STL has too.
        delta_t: Δt likewise.
        epoch_cost: training time of an epoch relative to LS on the same device.
        step_seconds: median training time of a step, None where a record doesn't tell.
        device: where the runs were made, None if in several places.
        notes: what a reader must know about this row.
    """

    name: str
    seeds: tuple[int, ...]
    metrics: tuple[Spread | None, ...]
    delta_m: Spread | None
    delta_t: Spread | None
    epoch_cost: float | None
    step_seconds: float | None
    device: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The methods that were run in one setting."""

    setting: Setting
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    manifests: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A finished record with its metrics under the rule in force."""

    record: Record
    summary: dict[str, Any]
    setting: Setting
    metrics: Metrics


@dataclass
class Rows:
    """Runs of one comparison by row; ``single`` holds the STL runs that serve as S, by seed."""

    by_name: dict[str, list[Run]] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    single: dict[int, Run] = field(default_factory=dict)


def runs_under(records: Iterable[Record], selection: str | None) -> list[Run]:
    """Return the finished runs that have metrics under ``selection``, or under their own rule."""
    runs = []
    for record in records:
        if record.summary is None:
            continue
        rule = selection or record.summary["selection"]
        if rule in record.summary["metrics"]:
            setting = _setting(record.summary, rule)
            metrics = record.summary["metrics"][rule]
            runs.append(Run(record, record.summary, setting, metrics))
    return runs


def compare(runs: Iterable[Run]) -> list[Comparison]:
    """Return one comparison per setting."""
    ordered = sorted(runs, key=lambda run: run.setting)
    return [
        _comparison(setting, list(members))
        for setting, members in groupby(ordered, key=lambda run: run.setting)
    ]


def columns_of(tasks: Mapping[str, Any]) -> list[Column]:
    """Return one column per metric from the ``tasks`` of a summary, in their order."""
    columns = []
    for task, description in tasks.items():
        for metric, fields in description["metrics"].items():
            shown = {key: fields[key] for key in ("unit", "higher_is_better", "decimals")}
            columns.append(Column(task, metric, description["label"], **shown))
    return columns


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


def _setting(summary: dict[str, Any], rule: str) -> Setting:
    named = {key: summary[key] for key in ("profile", "dataset", "protocol", "architecture")}
    data = summary["data"]
    kind, source = str(data.get("kind")), str(data.get("source"))
    return Setting(
        **named, epochs=summary["epochs"], selection=rule, data_kind=kind, data_source=source
    )


def _comparison(setting: Setting, runs: list[Run]) -> Comparison:
    columns = _columns(runs)
    rows = _rows(runs)
    ls_runs = [run for run in runs if run.record.label == "ls"]
    order = sorted(rows.by_name, key=lambda n: row_order(rows.by_name[n][0].record.method, n))
    return Comparison(
        setting,
        columns,
        tuple(_row(name, rows, columns, ls_runs) for name in order),
        tuple(sorted({str(run.summary["data"].get("manifest")) for run in runs})),
    )


def _columns(runs: list[Run]) -> tuple[Column, ...]:
    columns: dict[tuple[str, str], Column] = {}
    for run in runs:
        for column in columns_of(run.summary["tasks"]):
            columns.setdefault((column.task, column.metric), column)
    return tuple(columns.values())


def _rows(runs: list[Run]) -> Rows:
    rows = Rows()
    places: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        places.setdefault((run.record.label, run.record.seed), []).append(run)
    for (label, seed), found in places.items():
        if len(found) == 1:
            rows.by_name.setdefault(label, []).extend(found)
            if label == "stl":
                rows.single[seed] = found[0]
        for run in found if len(found) > 1 else []:
            name = f"{label} {run.record.hash}"
            rows.by_name.setdefault(name, []).append(run)
            rows.twice.add(name)
    return rows


def _row(name: str, rows: Rows, columns: tuple[Column, ...], ls_runs: list[Run]) -> Row:
    runs = sorted(rows.by_name[name], key=lambda run: run.record.seed)
    compared = [run for run in runs if run.record.seed in rows.single]
    singles = [rows.single[run.record.seed] for run in compared]
    directions: dict[str, dict[str, bool]] = {}
    for column in columns:
        directions.setdefault(column.task, {})[column.metric] = column.higher_is_better
    reference = {
        task: {metric: _mean_metric(singles, task, metric) for metric in metrics}
        for task, metrics in directions.items()
    }
    own_delta_m = _spread_of([delta_m(run.metrics, reference, directions) for run in compared])
    own_delta_t = _spread_of([delta_t(run.metrics, reference, directions) for run in compared])
    return Row(
        name=name,
        seeds=tuple(run.record.seed for run in runs),
        metrics=tuple(_spread_of(_values(runs, c.task, c.metric)) for c in columns),
        delta_m=own_delta_m,
        delta_t=own_delta_t,
        epoch_cost=_epoch_cost(runs, ls_runs),
        step_seconds=_step_seconds(runs),
        device=runs[0].summary["device"] if len({r.summary["device"] for r in runs}) == 1 else None,
        notes=tuple(_notes(runs, compared, name in rows.twice, own_delta_m)),
    )


def _notes(
    runs: list[Run], compared: list[Run], twice: bool, own_delta_m: Spread | None
) -> Iterator[str]:
    setting = runs[0].setting
    if twice:
        yield "one of several runs of the same name and seed whose configurations differ"
    if not compared:
        yield (
            "no Δm without one STL run of the same seed: mtl-bench train "
            f"profile={setting.profile} dataset={setting.dataset} method=stl "
            f"seed={runs[0].record.seed}"
        )
    elif own_delta_m is None:
        yield "no Δm: a metric has no value here or no usable one in STL"
    elif len(compared) < len(runs):
        seeds = ", ".join(str(run.record.seed) for run in compared)
        yield f"Δm and Δt over the seeds that STL has too: {seeds}"


def _values(runs: list[Run], task: str, metric: str) -> list[float | None]:
    return [run.metrics.get(task, {}).get(metric) for run in runs]


def _spread_of(values: Sequence[float | None]) -> Spread | None:
    """A mean over some of a row's seeds would carry the wrong n: all of them or nothing."""
    present = [value for value in values if value is not None]
    return spread(present) if present and len(present) == len(values) else None


def _mean_metric(runs: list[Run], task: str, metric: str) -> float | None:
    found = _spread_of(_values(runs, task, metric))
    return found.mean if found else None


def _epoch_cost(runs: list[Run], ls_runs: list[Run]) -> float | None:
    """Return the ratio of median epoch seconds; times of different devices aren't comparable."""
    if len({run.summary["device"] for run in (*runs, *ls_runs)}) != 1:
        return None
    own, ls = (
        [run.summary["seconds"].get("train_epoch") for run in group] for group in (runs, ls_runs)
    )
    if not own or not ls or not all(own) or not all(ls):
        return None
    return median(own) / median(ls)


def _step_seconds(runs: list[Run]) -> float | None:
    """Return the median over runs of an epoch's median seconds, divided by its steps."""
    seconds = []
    for summary in (run.summary for run in runs):
        epoch, steps = summary["seconds"].get("train_epoch"), summary.get("steps")
        if not epoch or not steps:
            return None
        seconds.append(epoch * summary["epochs"] / steps)
    return median(seconds)
