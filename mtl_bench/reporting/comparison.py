"""What a table says: settings, columns, rows and the runs behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mtl_bench.records.reader import Record
from mtl_bench.scores import DeltaM, Metrics, Score

if TYPE_CHECKING:
    from mtl_bench.reporting.inference import Interval  # numpy

Baseline = Literal["own", "published"]
"""What Δm is against: our own STL runs, or the single-task values that are published."""


class Timing(NamedTuple):
    """How long a run took for something.

    Args:
        machine: that it ran on, see ``Record.machine``.
        seconds: by the clock.
        cpu: CPU seconds of the process; NaN of a record from before they were measured.
        waiting: those of the seconds in which the process was ready and had no core; NaN where
            nothing tells.
    """

    machine: str | None
    seconds: float
    cpu: float
    waiting: float

    @property
    def is_known(self) -> bool:
        """Whether the record tells the CPU time, and the load under which it was taken."""
        return self.cpu > 0 and self.slowdown > 0

    @property
    def slowdown(self) -> float:
        """By how much waiting for a core drew it out: 1 on a machine with cores to spare."""
        if not 0 <= self.waiting < self.seconds:
            return nan
        return self.seconds / (self.seconds - self.waiting)


Times = dict[int, Timing]
"""By seed."""


class RelativeCost(NamedTuple):
    """What something costs relative to a reference.

    Args:
        ratio: of the seconds by the clock; None where no runs can be compared.
        cpu: of the CPU seconds.
        seeds: over how many seeds they are medians.
        reason: why there is none, else "".
    """

    ratio: float | None
    cpu: float | None
    seeds: int
    reason: str


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; no deviation of a single one."""

    mean: float
    sd: float | None


@dataclass(frozen=True, order=True)
class Setting:
    """What all runs of one comparison have in common.

    Where systems are compared, ``architecture`` has the names of all that there are.
    """

    profile: str
    dataset: str
    protocol: str
    architecture: str
    epochs: int
    selection: str
    data_kind: str
    data_source: str
    score: str = DeltaM.key


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
class MethodRow:
    """One system over its seeds.

    Args:
        name: what it is called, unlike any other row of the comparison.
        label: of the records.
        seeds: seeds behind the metrics.
        unsealed: those of them whose records have no hashes to be checked against.
        hashes: of the runs, by seed.
        metrics: one entry per column, None where a run lacks the metric.
        score: over the seeds; Δm over those that STL has too.
        scored: seeds behind the score.
        score_interval: 95 % bootstrap interval of Δm, or that of the interquartile mean.
        middle: interquartile mean over seeds and tasks of the metric that a score is the mean of.
        delta_t: Δt as Δm.
        by_seed: the score of each seed; Δm against the mean of all STL runs.
        by_task: Δm of each task, or the metric that a score is the mean of.
        intervals: 95 % bootstrap interval of each metric's mean over seeds.
        mean_rank: mean over metrics of the rank among the methods of the comparison: neither STL
            nor an ablation has one.
        improvement: probability that a run beats one of LS, averaged over metrics.
        exploded: seeds of runs with the row's configuration that have exploded.
        learning: how soon the tasks of each seed were learned, of runs that tell: the area under
            the curve of training successes, and the steps to 0.8, None for never.
        parameters: what of the networks is counted, by its name.
        epoch_cost: of training for an epoch, relative to LS.
        step_times: training time of a step, by seed.
        untrained: labels of the tasks that a run had no training label of.
        notes: what a reader must know about this row.
    """

    name: str
    label: str
    seeds: tuple[int, ...]
    unsealed: tuple[int, ...]
    hashes: tuple[str, ...]
    metrics: tuple[Spread | None, ...]
    score: Spread | None
    scored: tuple[int, ...]
    score_interval: Interval | None
    middle: float | None
    delta_t: Spread | None
    by_seed: Mapping[int, float | None]
    by_task: Mapping[str, Spread | None]
    intervals: tuple[Interval | None, ...]
    mean_rank: float | None
    improvement: float | None
    exploded: tuple[int, ...]
    learning: tuple[tuple[float, int | None], ...]
    parameters: Mapping[str, int]
    epoch_cost: RelativeCost
    step_times: Times
    untrained: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_ablation(self) -> bool:
        """Whether the row is a variant of a method."""
        return "-" in self.label


Part = Literal["all", "methods", "ablations"]
"""Which rows of a setting a comparison shows."""


@dataclass(frozen=True)
class Comparison:
    """The methods that were run in one setting.

    Args:
        setting: what all runs have in common.
        part: which of the setting's rows are shown.
        columns: their metrics.
        rows: one per method and configuration.
        manifests: of the data that were read; more than one if these differ.
        differences: what the rows differ in besides the method; a line per key.
        overrides: what all rows have in place of the profile's settings, each as ``key=value``.
        baseline: what Δm is against.
        score: of all runs.
    """

    setting: Setting
    part: Part
    columns: tuple[Column, ...]
    rows: tuple[MethodRow, ...]
    manifests: tuple[str, ...]
    differences: tuple[str, ...]
    overrides: tuple[str, ...]
    baseline: Baseline
    score: Score


@dataclass(frozen=True)
class ScoredRun:
    """A finished record with its metrics under the rule in force."""

    record: Record
    summary: dict[str, Any]
    setting: Setting
    metrics: Metrics
