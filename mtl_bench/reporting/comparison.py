"""What a table says: settings, columns, rows and the runs behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mtl_bench.records.reader import Record
from mtl_bench.reporting.inference import Interval
from mtl_bench.scores import Metrics

Baseline = Literal["own", "published"]
"""What Δm is against: our own STL runs, or the single-task values that are published."""


Times = dict[int, tuple[str | None, float]]
"""Seed -> device and seconds."""


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
        name: the label, with a hash appended where it was run in several configurations.
        seeds: seeds behind the metrics.
        unsealed: those of them whose records have no hashes to be checked against.
        hashes: of the runs, by seed.
        metrics: one entry per column, None where a run lacks the metric.
        delta_m: Δm in percent over the seeds that STL has too.
        delta_t: Δt likewise.
        intervals: 95 % bootstrap interval of each metric's mean over seeds.
        delta_interval: that of Δm.
        mean_rank: mean over metrics of the rank among the methods of the comparison, STL left out.
        improvement: probability that a run beats one of LS, averaged over metrics.
        parameters: of the network.
        epoch_cost: training time of an epoch relative to LS on the same device, the median over
            the seeds that both have.
        step_times: training time of a step, by seed.
        untrained: labels of the tasks that a run had no training label of.
        notes: what a reader must know about this row.
    """

    name: str
    seeds: tuple[int, ...]
    unsealed: tuple[int, ...]
    hashes: tuple[str, ...]
    metrics: tuple[Spread | None, ...]
    delta_m: Spread | None
    delta_t: Spread | None
    intervals: tuple[Interval | None, ...]
    delta_interval: Interval | None
    mean_rank: float | None
    improvement: float | None
    parameters: int | None
    epoch_cost: float | None
    step_times: Times
    untrained: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The methods that were run in one setting.

    Args:
        setting: what all runs have in common.
        columns: their metrics.
        rows: one per method and configuration.
        manifests: of the data that were read; more than one if these differ.
        differences: what the rows differ in besides the method; a line per key.
        overrides: what all rows have in place of the profile's settings, each as ``key=value``.
        baseline: what Δm is against.
    """

    setting: Setting
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    manifests: tuple[str, ...]
    differences: tuple[str, ...]
    overrides: tuple[str, ...]
    baseline: Baseline


@dataclass(frozen=True)
class Run:
    """A finished record with its metrics under the rule in force."""

    record: Record
    summary: dict[str, Any]
    setting: Setting
    metrics: Metrics
