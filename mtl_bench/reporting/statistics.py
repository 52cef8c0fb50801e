"""From run records to comparable rows: who is compared with whom, over which seeds.

The runs of a row differ in nothing but the seed; in what the rows of a comparison differ besides
the method is said below the table. The single-task reference S of a row is the mean of our own STL
runs of the same comparison over the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from mtl_bench.config.groups import find_field
from mtl_bench.records.epochs import masked_updates, read_epochs
from mtl_bench.records.reader import Record
from mtl_bench.reporting.comparison import (
    Baseline,
    Column,
    Comparison,
    MethodRow,
    Part,
    ScoredRun,
    Setting,
)
from mtl_bench.reporting.costs import cost, epoch_times, step_times
from mtl_bench.reporting.display import row_order
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
    bootstrap_mean,
    mean_ranks,
    probability_of_improvement,
)
from mtl_bench.reporting.verdicts import (
    against_single_tasks,
    array_of,
    by_mean,
    higher_of,
    spread_of,
    values_of,
)
from mtl_bench.scores import Score, score_of


def runs_under(records: Iterable[Record], selection: str | None) -> list[ScoredRun]:
    """Return the finished runs that have metrics under ``selection``, or under their own rule."""
    runs = []
    for record in records:
        if record.summary is None:
            continue
        rule = selection or record.summary["selection"]
        if rule in record.summary["metrics"]:
            setting = _setting(record.summary, rule)
            metrics = record.summary["metrics"][rule]
            runs.append(ScoredRun(record, record.summary, setting, metrics))
    return _as_systems(runs)


def _as_systems(runs: list[ScoredRun]) -> list[ScoredRun]:
    """Give runs one setting that differ in no more of it than the architecture, where they may."""
    free = {
        dataset
        for dataset in {run.setting.dataset for run in runs}
        if find_field("dataset", dataset, "compare") == "systems"
    }
    names: dict[Setting, set[str]] = {}
    for run in runs:
        names.setdefault(replace(run.setting, architecture=""), set()).add(run.setting.architecture)
    return [
        replace(run, setting=replace(run.setting, architecture=" and ".join(sorted(names[place]))))
        if (place := replace(run.setting, architecture="")).dataset in free
        else run
        for run in runs
    ]


def compare(
    runs: Iterable[ScoredRun],
    baseline: Baseline = "own",
    records: Iterable[Record] = (),
    *,
    parted: bool = False,
) -> list[Comparison]:
    """Return one comparison per setting.

    Args:
        runs: that are compared.
        baseline: what Δm is against.
        records: among which those that have exploded are counted.
        parted: one of the methods and one of the ablations in its place. An ablation is a method's
            variant. It stands beside its method and STL; where these are all the methods that there
            are, no other comparison is returned.
    """
    exploded = [record for record in records if record.state == "exploded"]
    return [
        _comparison(setting, members, groups, part, shown, baseline, exploded)
        for setting, members, groups in _settings(runs)
        for part, shown in _parts(groups, parted)
    ]


compare_parts = partial(compare, parted=True)


def _settings(runs: Iterable[ScoredRun]) -> Iterator[tuple[Setting, list[ScoredRun], list[Group]]]:
    """Yield each setting with its runs and their rows in the order of a table."""
    ordered = sorted(runs, key=lambda run: run.setting)
    for setting, members in groupby(ordered, key=lambda run: run.setting):
        own = list(members)
        groups = group_runs(own)
        yield setting, own, sorted(groups, key=lambda group: row_order(group.method, group.name))


def _parts(groups: list[Group], parted: bool) -> Iterator[tuple[Part, list[Group]]]:
    if not parted:
        yield "all", groups
        return
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


def _setting(summary: dict[str, Any], rule: str) -> Setting:
    named = {key: summary[key] for key in ("profile", "dataset", "protocol", "architecture")}
    data = summary["data"]
    kind, source = str(data.get("kind")), str(data.get("source"))
    return Setting(
        **named,
        epochs=summary.get("planned_epochs", summary["epochs"]),
        selection=rule,
        data_kind=kind,
        data_source=source,
        score=score_of(summary.get("score")).key,
    )


def _comparison(
    setting: Setting,
    runs: list[ScoredRun],
    groups: Sequence[Group],
    part: Part,
    shown: Sequence[Group],
    baseline: Baseline,
    exploded: Sequence[Record],
) -> Comparison:
    """Return the comparison of the shown rows, held against any of a setting's."""
    columns, score = _columns(runs), runs[0].record.score
    shared = shared_overrides([group.overrides for group in shown])
    found = [_row(g, groups, columns, shared, baseline, score, exploded) for g in shown]
    manifests = tuple(sorted({str(run.summary["data"].get("manifest")) for run in runs}))
    return Comparison(
        setting,
        part,
        columns,
        tuple(found if part == "ablations" else rank_rows(columns, found, score)),
        manifests,
        tuple(differences(shown)),
        tuple(assignments(shared)),
        baseline,
        score,
    )


def counted_columns(columns: Sequence[Column], score: Score) -> list[Column]:
    """Return the columns that a score is made of."""
    return [column for column in columns if score.counts(column.metric)]


def rank_rows(
    columns: Sequence[Column], rows: Sequence[MethodRow], score: Score, *, ablations: bool = False
) -> list[MethodRow]:
    """Return the rows with the mean ranks of the methods among each other by what a score counts.

    STL is not ranked. Neither are ablations, unless asked for: the ranks of the others would depend
    on how many there are of these.
    """
    competing = [row for row in rows if row.label != "stl" and (ablations or not row.is_ablation)]
    means_RK = np.array([[np.nan if m is None else m.mean for m in r.metrics] for r in competing])
    counted_K = np.array([score.counts(column.metric) for column in columns], dtype=bool)
    means_RK = means_RK.reshape(len(competing), len(columns))[:, counted_K]
    ranks = mean_ranks(means_RK, higher_of(columns)[counted_K])
    found = {row.name: rank for row, rank in zip(competing, ranks, strict=True)}
    return [replace(row, mean_rank=found.get(row.name)) for row in rows]


def _columns(runs: list[ScoredRun]) -> tuple[Column, ...]:
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
    score: Score,
    exploded: Sequence[Record],
) -> MethodRow:
    runs, ls = group.runs, group.beside(groups, "ls")
    counted = counted_columns(columns, score)
    if score.is_relative:
        verdict = against_single_tasks(runs, group.beside(groups, "stl"), columns, baseline)
    else:
        verdict = by_mean(runs, counted, score)
    values_NK = array_of(runs, columns)
    ls_runs = ls.runs if ls else ()
    untrained = tuple(
        dict.fromkeys(
            column.label
            for column in columns
            if any(column.task in run.summary.get("untrained", ()) for run in runs)
        )
    )
    return MethodRow(
        name=group.name,
        label=group.label,
        seeds=tuple(group.by_seed),
        unsealed=tuple(run.record.seed for run in runs if not run.record.sealed),
        hashes=tuple(run.record.hash for run in runs),
        metrics=tuple(spread_of(values_of(runs, c.task, c.metric)) for c in columns),
        score=verdict.score,
        scored=verdict.seeds,
        score_interval=verdict.interval,
        middle=verdict.middle,
        delta_t=verdict.delta_t,
        by_seed=verdict.by_seed,
        by_task=verdict.by_task,
        intervals=tuple(bootstrap_mean(values_N) for values_N in values_NK.T),
        mean_rank=None,
        improvement=None
        if group.label in ("ls", "stl")
        else probability_of_improvement(
            array_of(runs, counted), array_of(ls_runs, counted), higher_of(counted)
        ),
        exploded=tuple(
            record.seed
            for record in exploded
            if record.label == group.label and record.settings == group.settings
        ),
        learning=tuple(
            (run.summary["training_auc"]["mean"], run.summary["steps_to_0.8"]["mean"])
            for run in runs
            if "training_auc" in run.summary
        ),
        parameters=runs[0].summary.get("parameters", {}),
        epoch_cost=cost(epoch_times(runs), epoch_times(ls_runs), "LS"),
        step_times=step_times(runs),
        untrained=untrained,
        notes=(*_notes(group, shared, untrained), *_masked(group), *verdict.notes),
    )


def _notes(group: Group, shared: Mapping[str, Any], untrained: Sequence[str]) -> Iterator[str]:
    own = {k: v for k, v in group.overrides.items() if k.startswith(OWN) and k not in shared}
    if group.others is not None:
        told = f": {describe(group.others)}" if group.others else ""
        yield f"one of several configurations of {group.label}{told}"
    elif own and group.runs[0].record.variant is None:  # a variant is a name for them
        yield f"with {describe(own)}"
    if untrained:
        yield (
            f"no training label of {', '.join(untrained)} in the whole run: the numbers there are "
            "those of an untrained head"
        )


def _masked(group: Group) -> Iterator[str]:
    """Yield which tasks were left out of updates because of their loss, and how often."""
    if group.settings.get("algorithm.mask_loss_above") is None:
        return
    counts: dict[str, dict[int, int]] = {}
    for seed, run in group.by_seed.items():
        lines = read_epochs(run.record.path / "metrics.jsonl", skip_damaged=True)
        for task, updates in masked_updates(lines).items():
            counts.setdefault(task, {})[seed] = updates
    if counts:
        told = "; ".join(
            f"{task} in {', '.join(f'{n} (seed {seed})' for seed, n in own.items())}"
            for task, own in counts.items()
        )
        yield f"left out of updates because of its loss: {told}"
