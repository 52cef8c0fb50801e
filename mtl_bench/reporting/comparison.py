"""What a table says: settings, columns, rows and the runs behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mtl_bench.records.reader import Record
from mtl_bench.reporting.delta import Metrics
from mtl_bench.reporting.inference import Interval

Baseline = Literal["own", "published"]
"""What Δm is against: our own STL runs, or the single-task values that are published."""


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
        intervals: 95 % bootstrap interval of each metric's mean over seeds.
        delta_interval: that of Δm.
        mean_rank: mean over metrics of the rank among the methods of the comparison, STL left out.
        improvement: probability that a run beats one of LS, averaged over metrics.
        parameters: of the network.
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
    intervals: tuple[Interval | None, ...]
    delta_interval: Interval | None
    mean_rank: float | None
    improvement: float | None
    parameters: int | None
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
    baseline: Baseline


@dataclass(frozen=True)
class Run:
    """A finished record with its metrics under the rule in force."""

    record: Record
    summary: dict[str, Any]
    setting: Setting
    metrics: Metrics
