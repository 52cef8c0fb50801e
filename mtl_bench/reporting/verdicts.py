"""The score of a row: held against single-task runs, or a mean that stands on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from mtl_bench.reporting.advice import train_command
from mtl_bench.reporting.comparison import Baseline, Column, ScoredRun, Spread
from mtl_bench.reporting.grouping import Group
from mtl_bench.reporting.inference import (
    Interval,
    bootstrap_delta,
    bootstrap_interquartile_mean,
    interquartile_mean,
)
from mtl_bench.scores import (
    Directions,
    Metrics,
    Score,
    comparable,
    delta_m,
    delta_t,
    describe_incomparable,
    incomparable,
    published,
)


class Verdict(NamedTuple):
    """What a row's score is, as ``MethodRow`` holds it."""

    score: Spread | None
    seeds: tuple[int, ...]
    interval: Interval | None
    middle: float | None
    delta_t: Spread | None
    by_seed: dict[int, float | None]
    by_task: dict[str, Spread | None]
    notes: tuple[str, ...]


def against_single_tasks(
    runs: tuple[ScoredRun, ...], stl: Group | None, columns: Sequence[Column], baseline: Baseline
) -> Verdict:
    """Return Δm and Δt of a row.

    Those by seed are against the mean of all STL runs, so that rows can be compared seed by seed.

    Args:
        runs: of the row.
        stl: the single-task runs that it is held against.
        columns: the metrics.
        baseline: whether it is held against these runs.
    """
    held = _hold_against(stl, runs, columns, baseline)
    found = spread_of([delta_m(run.metrics, held.single, held.counted) for run in held.runs])
    every = (
        held.single if baseline == "published" or stl is None else _means(stl.runs, held.counted)
    )
    return Verdict(
        found,
        tuple(run.record.seed for run in held.runs),
        bootstrap_delta(
            array_of(held.runs, columns), array_of(held.singles, columns), higher_of(columns)
        ),
        None,
        spread_of([delta_t(run.metrics, held.single, held.counted) for run in held.runs]),
        {run.record.seed: delta_m(run.metrics, every, held.counted) for run in runs},
        {
            task: spread_of([delta_m(run.metrics, held.single, {task: own}) for run in held.runs])
            for task, own in held.counted.items()
        },
        tuple(_notes(runs, held, found)),
    )


def by_mean(runs: tuple[ScoredRun, ...], columns: Sequence[Column], score: Score) -> Verdict:
    """Return the score of a row that needs no other row.

    Args:
        runs: of the row.
        columns: the metric of every task that the score is the mean of.
        score: of the runs.
    """
    values_NK = array_of(runs, columns)
    found = spread_of([score.value(run.metrics) for run in runs])
    return Verdict(
        found,
        tuple(run.record.seed for run in runs),
        bootstrap_interquartile_mean(values_NK),
        interquartile_mean(values_NK),
        None,
        {run.record.seed: score.value(run.metrics) for run in runs},
        {column.task: spread_of(values_of(runs, column.task, column.metric)) for column in columns},
        () if found else (f"no {score.label}: a run has no value of it",),
    )


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of at least one value."""
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None)


class _Held(NamedTuple):
    """What the Δm of a row is against.

    Args:
        runs: those that have something to be held against.
        singles: the STL runs of their seeds; none where the reference is published.
        single: S, the single-task values.
        counted: the directions of the metrics that count.
        left_out: the other metrics with what there is in place of S.
    """

    runs: tuple[ScoredRun, ...]
    singles: tuple[ScoredRun, ...]
    single: Metrics
    counted: Directions
    left_out: dict[str, float | None]


def _hold_against(
    stl: Group | None, runs: tuple[ScoredRun, ...], columns: Sequence[Column], baseline: Baseline
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
        counted, singles = comparable(single, directions), tuple[ScoredRun, ...]()
    else:
        by_seed = stl.by_seed if stl else {}
        runs = tuple(run for run in runs if run.record.seed in by_seed)
        singles = tuple(by_seed[run.record.seed] for run in runs)
        single, counted = _means(singles, directions), directions
    return _Held(runs, singles, single, counted, incomparable(single, directions))


def _notes(runs: Sequence[ScoredRun], held: _Held, found: Spread | None) -> Iterator[str]:
    """Yield why there is no Δm, or what it leaves out."""
    if not held.runs:
        records = [run.record for run in runs]
        command = train_command(records, "method=stl", seeds=[r.seed for r in records])
        yield f"no Δm without STL runs of the same seeds: `{command}`"
    elif found is None:
        yield f"no Δm: {_why_no_delta(held)}"
    elif len(held.runs) < len(runs):
        seeds = ", ".join(str(run.record.seed) for run in held.runs)
        yield f"Δm and Δt over the seeds that STL has too: {seeds}"
    if found and held.left_out:
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
        if None in values_of(held.runs, task, metric)
    ]
    return f"no value here of {', '.join(lacking)}"


def values_of(runs: Sequence[ScoredRun], task: str, metric: str) -> list[float | None]:
    """Return a metric of every run."""
    return [run.metrics.get(task, {}).get(metric) for run in runs]


def spread_of(values: Sequence[float | None]) -> Spread | None:
    """Return mean and deviation; None where a run has no value, as n would be wrong."""
    present = [value for value in values if value is not None]
    return spread(present) if present and len(present) == len(values) else None


def _means(singles: Sequence[ScoredRun], directions: Directions) -> Metrics:
    """Return S, the mean of STL runs; a mean over some of them would be another reference."""
    reference: dict[str, dict[str, float | None]] = {}
    for task, metrics in directions.items():
        reference[task] = {}
        for metric in metrics:
            single = spread_of(values_of(singles, task, metric))
            reference[task][metric] = single.mean if single else None
    return reference


def array_of(runs: Sequence[ScoredRun], columns: Sequence[Column]) -> np.ndarray:
    """Return the metrics as (N, K), NaN where one is missing."""
    values = [[run.metrics.get(c.task, {}).get(c.metric) for c in columns] for run in runs]
    return np.array(values, dtype=float).reshape(len(runs), len(columns))


def higher_of(columns: Sequence[Column]) -> np.ndarray:
    """Return the directions of metrics, (K,)."""
    return np.array([column.higher_is_better for column in columns], dtype=bool)
