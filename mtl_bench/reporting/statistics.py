"""From run records to comparable rows: who is compared with whom, over which seeds.

The runs of a row differ in nothing but the seed; in what the rows of a comparison differ besides
the method is said below the table. The single-task reference S of a row is the mean of our own STL
runs of the same comparison over the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from mtl_bench.records.reader import Record
from mtl_bench.reporting.commands import train_command
from mtl_bench.reporting.comparison import (
    Baseline,
    Column,
    Comparison,
    Part,
    Row,
    Run,
    Setting,
    Spread,
)
from mtl_bench.reporting.costs import cost, epoch_times, step_times
from mtl_bench.reporting.grouping import (
    OWN,
    Group,
    assignments,
    describe,
    differences,
    group_runs,
    shared_overrides,
)
from mtl_bench.reporting.inference import (
    bootstrap_delta,
    bootstrap_mean,
    mean_ranks,
    probability_of_improvement,
)
from mtl_bench.reporting.layout import row_order
from mtl_bench.scores import (
    Directions,
    Metrics,
    comparable,
    delta_m,
    delta_t,
    describe_incomparable,
    incomparable,
    published,
)


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


def compare(runs: Iterable[Run], baseline: Baseline = "own") -> list[Comparison]:
    """Return one comparison per setting."""
    return [
        _comparison(setting, members, groups, "all", groups, baseline)
        for setting, members, groups in _settings(runs)
    ]


def compare_parts(runs: Iterable[Run], baseline: Baseline = "own") -> list[Comparison]:
    """Return per setting a comparison of the methods and one of the ablations.

    An ablation is a method's variant. It stands beside its method and STL; where these are all the
    methods that there are, no other comparison is returned.
    """
    return [
        _comparison(setting, members, groups, part, shown, baseline)
        for setting, members, groups in _settings(runs)
        for part, shown in _parts(groups)
    ]


def _settings(runs: Iterable[Run]) -> Iterator[tuple[Setting, list[Run], list[Group]]]:
    """Yield each setting with its runs and their rows in the order of a table."""
    ordered = sorted(runs, key=lambda run: run.setting)
    for setting, members in groupby(ordered, key=lambda run: run.setting):
        own = list(members)
        groups = group_runs(own)
        yield setting, own, sorted(groups, key=lambda group: row_order(group.method, group.name))


def _parts(groups: list[Group]) -> Iterator[tuple[Part, list[Group]]]:
    varied = {group.method for group in groups if group.is_ablation}
    methods = [group for group in groups if not group.is_ablation]
    if not varied or any(group.method not in {*varied, "stl"} for group in methods):
        yield "methods", methods
    if varied:
        yield "ablations", [g for g in groups if g.is_ablation or g.label in {*varied, "stl"}]


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


def _comparison(
    setting: Setting,
    runs: list[Run],
    groups: Sequence[Group],
    part: Part,
    shown: Sequence[Group],
    baseline: Baseline,
) -> Comparison:
    """Return the comparison of the shown rows, held against any of a setting's."""
    columns = _columns(runs)
    shared = shared_overrides([group.overrides for group in shown])
    found = [_row(group, groups, columns, shared, baseline) for group in shown]
    manifests = tuple(sorted({str(run.summary["data"].get("manifest")) for run in runs}))
    return Comparison(
        setting,
        part,
        columns,
        tuple(found if part == "ablations" else rank_rows(columns, found)),
        manifests,
        tuple(differences(shown)),
        tuple(assignments(shared)),
        baseline,
    )


def rank_rows(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the mean ranks of the methods among each other.

    Neither STL nor ablations are ranked: the ranks of the others would depend on how many there
    are of these.
    """
    competing = [row for row in rows if row.label != "stl" and not row.is_ablation]
    means_RK = np.array([[np.nan if m is None else m.mean for m in r.metrics] for r in competing])
    ranks = mean_ranks(means_RK.reshape(len(competing), len(columns)), _higher(columns))
    found = {row.name: rank for row, rank in zip(competing, ranks, strict=True)}
    return [replace(row, mean_rank=found.get(row.name)) for row in rows]


def _columns(runs: list[Run]) -> tuple[Column, ...]:
    columns: dict[tuple[str, str], Column] = {}
    for run in runs:
        for column in columns_of(run.summary["tasks"]):
            columns.setdefault((column.task, column.metric), column)
    return tuple(columns.values())


def _row(
    group: Group,
    groups: Sequence[Group],
    columns: tuple[Column, ...],
    shared: Mapping[str, Any],
    baseline: Baseline,
) -> Row:
    runs, ls = group.runs, group.beside(groups, "ls")
    held = _hold_against(group.beside(groups, "stl"), runs, columns, baseline)
    own_delta_m = _spread_of([delta_m(run.metrics, held.single, held.counted) for run in held.runs])
    own_delta_t = _spread_of([delta_t(run.metrics, held.single, held.counted) for run in held.runs])
    values_NK, higher_K = _array(runs, columns), _higher(columns)
    ls_runs = ls.runs if ls else ()
    untrained = tuple(
        dict.fromkeys(
            column.label
            for column in columns
            if any(column.task in run.summary.get("untrained", ()) for run in runs)
        )
    )
    return Row(
        name=group.name,
        label=group.label,
        seeds=tuple(group.by_seed),
        unsealed=tuple(run.record.seed for run in runs if not run.record.sealed),
        hashes=tuple(run.record.hash for run in runs),
        metrics=tuple(_spread_of(_values(runs, c.task, c.metric)) for c in columns),
        delta_m=own_delta_m,
        delta_t=own_delta_t,
        intervals=tuple(bootstrap_mean(values_N) for values_N in values_NK.T),
        delta_interval=bootstrap_delta(
            _array(held.runs, columns), _array(held.singles, columns), higher_K
        ),
        mean_rank=None,
        improvement=None
        if group.label in ("ls", "stl")
        else probability_of_improvement(values_NK, _array(ls_runs, columns), higher_K),
        parameters=next((r.summary.get("parameters", {}).get("total") for r in runs), None),
        epoch_cost=cost(epoch_times(runs), epoch_times(ls_runs), "LS"),
        step_times=step_times(runs),
        untrained=untrained,
        notes=tuple(_notes(group, shared, held, own_delta_m, untrained)),
    )


class _Held(NamedTuple):
    """What the Δm of a row is against.

    Args:
        runs: those that have something to be held against.
        singles: the STL runs of their seeds; none where the reference is published.
        single: S, the single-task values.
        counted: the directions of the metrics that count.
        left_out: the other metrics with what there is in place of S.
    """

    runs: tuple[Run, ...]
    singles: tuple[Run, ...]
    single: Metrics
    counted: Directions
    left_out: dict[str, float | None]


def _hold_against(
    stl: Group | None, runs: tuple[Run, ...], columns: Sequence[Column], baseline: Baseline
) -> _Held:
    """Find what runs are held against.

    Published values are the same for all rows, so that Δm leaves out the metrics without one. Our
    own STL may lack one over the seeds of a single row; the row has no Δm then, since another mean
    than that of the rows beside it would look like theirs.
    """
    directions: dict[str, dict[str, bool]] = {}
    for column in columns:
        directions.setdefault(column.task, {})[column.metric] = column.higher_is_better
    if baseline == "published":
        single, _ = published(runs[0].summary["tasks"])
        counted, singles = comparable(single, directions), tuple[Run, ...]()
    else:
        by_seed = stl.by_seed if stl else {}
        runs = tuple(run for run in runs if run.record.seed in by_seed)
        singles = tuple(by_seed[run.record.seed] for run in runs)
        single, counted = _means(singles, directions), directions
    return _Held(runs, singles, single, counted, incomparable(single, directions))


def _notes(
    group: Group,
    shared: Mapping[str, Any],
    held: _Held,
    own_delta_m: Spread | None,
    untrained: Sequence[str],
) -> Iterator[str]:
    runs = group.runs
    own = {k: v for k, v in group.overrides.items() if k.startswith(OWN) and k not in shared}
    if group.others is not None:
        told = f": {describe(group.others)}" if group.others else ""
        yield f"one of several configurations of {group.label}{told}"
    elif own and runs[0].record.variant is None:  # a variant is a name for them
        yield f"with {describe(own)}"
    if untrained:
        yield (
            f"no training label of {', '.join(untrained)} in the whole run: the numbers there are "
            "those of an untrained head"
        )
    if not held.runs:
        records = [run.record for run in runs]
        command = train_command(records, "method=stl", seeds=[r.seed for r in records])
        yield f"no Δm without STL runs of the same seeds: `{command}`"
    elif own_delta_m is None:
        yield f"no Δm: {_why_no_delta(held)}"
    elif len(held.runs) < len(runs):
        seeds = ", ".join(str(run.record.seed) for run in held.runs)
        yield f"Δm and Δt over the seeds that STL has too: {seeds}"
    if own_delta_m and held.left_out:
        yield (
            "Δm and Δt leave out the metrics without a usable published single-task value: "
            + describe_incomparable(held.left_out)
        )


def _why_no_delta(held: _Held) -> str:
    if not held.counted:
        return "no metric has a usable published single-task value"
    if held.singles and held.left_out:
        return f"STL has no usable value of {describe_incomparable(held.left_out)}"
    lacking = [
        f"{task} {metric}"
        for task, metrics in held.counted.items()
        for metric in metrics
        if None in _values(held.runs, task, metric)
    ]
    return f"no value here of {', '.join(lacking)}"


def _values(runs: Sequence[Run], task: str, metric: str) -> list[float | None]:
    return [run.metrics.get(task, {}).get(metric) for run in runs]


def _spread_of(values: Sequence[float | None]) -> Spread | None:
    """A mean over some of a row's seeds would carry the wrong n: all of them or nothing."""
    present = [value for value in values if value is not None]
    return spread(present) if present and len(present) == len(values) else None


def _means(singles: Sequence[Run], directions: Directions) -> Metrics:
    """Return S, the mean of STL runs; a mean over some of them would be another reference."""
    reference: dict[str, dict[str, float | None]] = {}
    for task, metrics in directions.items():
        reference[task] = {}
        for metric in metrics:
            single = _spread_of(_values(singles, task, metric))
            reference[task][metric] = single.mean if single else None
    return reference


def _array(runs: Sequence[Run], columns: Sequence[Column]) -> np.ndarray:
    """Return the metrics as (N, K), NaN where one is missing."""
    values = [[run.metrics.get(c.task, {}).get(c.metric) for c in columns] for run in runs]
    return np.array(values, dtype=float).reshape(len(runs), len(columns))


def _higher(columns: Sequence[Column]) -> np.ndarray:
    return np.array([column.higher_is_better for column in columns], dtype=bool)
