"""What "better" means for a run: one number made of its metrics.

A ``Score`` is Δm, how far a multi-task model is from the single-task models in percent, or the mean
of one metric over the tasks, such as a success rate. A record describes its score as data.

Δm and Δt average the signed relative change of every metric against its single-task value S, in
which lower is better: Δm over all metrics alike, Δt over each task's metrics first and the tasks
then (paper, section 5; Δt is the mean of the tasks' Δm). With one metric per task they are the
same. The change is relative to |S|, so that it keeps its sign for metrics below zero, such as a
log-likelihood or an energy. Nothing can be relative to a value that is zero, missing or not finite.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from mtl_bench.errors import ConfigError

if TYPE_CHECKING:
    from mtl_bench.tasks import TaskSpec

Metrics = Mapping[str, Mapping[str, float | None]]
Directions = Mapping[str, Mapping[str, bool]]


class Score(ABC):
    """One number that says how well a run solves its tasks.

    Attributes:
        key: ``<key>_<split>`` is its name in metrics.jsonl.
        panel: ``<panel>/<split>`` is its name on dashboards.
        label: what people read, for instance ``Δm``.
        unit: of the number, empty for none.
        higher_is_better: its direction.
        decimals: digits after the point in tables.
        is_relative: whether it compares a run with single-task runs, so that zero is as good as
            these; numbers of it are shown with their sign.
    """

    key: str
    panel: str
    label: str
    unit: str
    higher_is_better: bool
    decimals: int
    is_relative: ClassVar[bool]

    @abstractmethod
    def value(self, metrics: Metrics, tasks: Collection[str] | None = None) -> float | None:
        """Return the score of metrics, over these tasks alone if some are named; None without one.

        Args:
            metrics: task -> metric -> value.
            tasks: names of the tasks that count, all by default.
        """

    @abstractmethod
    def covers(self, tasks: Collection[str]) -> bool:
        """Tell whether one of these tasks has a metric that counts."""

    @abstractmethod
    def counts(self, metric: str) -> bool:
        """Tell whether the score is made of this metric, so that ranks are by it too."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the score as JSON values, as the run record stores it; see ``score_of``."""

    @property
    @abstractmethod
    def note(self) -> str:
        """What a person must know of the number, without a full stop."""

    def since(self, metrics: Metrics, first: Metrics) -> float | None:
        """Return how far metrics are from the first ones of a run; None where the score says it.

        Args:
            metrics: of an epoch.
            first: of the same split after the first epoch.
        """
        return None

    @property
    def arrow(self) -> str:
        """The direction as an arrow."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """The head of a column, for instance ``Δm [%] ↓``."""
        return f"{self.label}{f' [{self.unit}]' if self.unit else ''} {self.arrow}"

    def better(self, first: float, second: float) -> bool:
        """Tell whether the first of two scores is better."""
        return first > second if self.higher_is_better else first < second

    def criterion(self, metrics: Metrics, tasks: Collection[str]) -> float:
        """Return what selects an epoch and moves schedules; lower is better.

        Args:
            metrics: of an evaluation, which has all of them.
            tasks: names of the tasks that count, one of which ``covers`` finds at least.
        """
        value = self.value(metrics, tasks)
        assert value is not None
        return -value if self.higher_is_better else value

    def mean(self, values: Sequence[float]) -> float:
        """Return the score of networks that have a task each from those of each."""
        return fmean(values)

    def text(self, value: float) -> str:
        """Return the number with its unit, as a console shows it."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{value:.{self.decimals}f}{unit}"


@dataclass(frozen=True)
class DeltaM(Score):
    """Δm against single-task values, over the metrics that have a usable one.

    Args:
        reference: S, task -> metric -> value.
        directions: task -> metric -> whether higher is better.
    """

    reference: Metrics = field(default_factory=dict)
    directions: Directions = field(default_factory=dict)

    key = "delta_m"
    panel = "delta_m_vs_published_stl"  # tables show that against our own STL runs
    label = "Δm"
    unit = "%"
    higher_is_better = False
    decimals = 2
    is_relative = True

    @classmethod
    def of(cls, tasks: Iterable[TaskSpec]) -> DeltaM:
        """Return the Δm against the published values of tasks."""
        named = {task.name: {m.name: m for m in task.metrics} for task in tasks}
        return cls(
            {t: {name: m.reference for name, m in ms.items()} for t, ms in named.items()},
            {t: {name: m.higher_is_better for name, m in ms.items()} for t, ms in named.items()},
        )

    @property
    def compared(self) -> Directions:
        """The directions of the metrics that count."""
        return comparable(self.reference, self.directions)

    def value(self, metrics: Metrics, tasks: Collection[str] | None = None) -> float | None:
        """Return Δm in percent."""
        compared = self.compared
        counted = compared if tasks is None else {t: d for t, d in compared.items() if t in tasks}
        return delta_m(metrics, self.reference, counted)

    def since(self, metrics: Metrics, first: Metrics) -> float | None:
        """Return Δm with the first epoch in the place of the single-task values, in percent.

        Against these a network that has just begun is thousands of percent off.
        """
        return delta_m(metrics, first, comparable(first, self.compared))

    def covers(self, tasks: Collection[str]) -> bool:
        """Tell whether one of these tasks has a usable single-task value."""
        return not self.compared.keys().isdisjoint(tasks)

    def counts(self, metric: str) -> bool:
        """Tell that every metric counts."""
        return True

    def criterion(self, metrics: Metrics, tasks: Collection[str]) -> float:
        """Return Δm, and 100 + Δm for a single task.

        That is proportional to an error that is better when lower: a schedule's relative threshold
        then means the same as on the error itself.
        """
        change = super().criterion(metrics, tasks)
        return change if len(tasks) > 1 else 100 + change

    def mean(self, values: Sequence[float]) -> float:
        """Return the mean, rounded as that of their criteria."""
        return fmean(100 + value for value in values) - 100

    def describe(self) -> dict[str, Any]:
        """Return the kind alone: references and directions stand beside the metrics of tasks."""
        return {"kind": self.key}

    @property
    def note(self) -> str:
        """What Δm is against, and what it leaves out."""
        left_out = incomparable(self.reference, self.directions)
        if not left_out:
            return "Δm is against the published STL"
        if not self.compared and set(left_out.values()) == {None}:
            return "there is no Δm, since no metric has a published single-task value"
        return (
            "Δm leaves out the metrics without a usable published single-task value: "
            + describe_incomparable(left_out)
        )

    def text(self, value: float) -> str:
        """Return for instance ``+3.1 %``."""
        return f"{value:+.1f} %"


@dataclass(frozen=True)
class MeanOf(Score):
    """The mean of one metric over the tasks that report it.

    Args:
        metric: its name.
        label: what people read, the metric's name by default.
        unit: of the metric.
        higher_is_better: its direction.
        decimals: digits after the point.
        tasks: names of the tasks that report it; none if nobody asks ``covers``.
    """

    metric: str
    label: str = ""
    unit: str = ""
    higher_is_better: bool = True
    decimals: int = 3
    tasks: tuple[str, ...] = ()
    key: str = field(init=False, repr=False)
    panel: str = field(init=False, repr=False)

    is_relative = False

    def __post_init__(self) -> None:
        named = {"label": self.label or self.metric, "key": self.metric, "panel": self.metric}
        for name, value in named.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, metric: str, tasks: Iterable[TaskSpec]) -> MeanOf:
        """Return the mean of a metric with the unit and direction that it has in the tasks.

        Raises:
            ConfigError: no task reports it.
        """
        found = [(task.name, m) for task in tasks for m in task.metrics if m.name == metric]
        if not found:
            raise ConfigError(f"the score is the mean of {metric}, which no task reports")
        first = found[0][1]
        return cls(
            metric,
            unit=first.unit,
            higher_is_better=first.higher_is_better,
            decimals=first.decimals,
            tasks=tuple(name for name, _ in found),
        )

    def value(self, metrics: Metrics, tasks: Collection[str] | None = None) -> float | None:
        """Return the mean; None where a task that reports the metric has no value."""
        values = [
            of_task[self.metric]
            for task, of_task in metrics.items()
            if self.metric in of_task and (tasks is None or task in tasks)
        ]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    def covers(self, tasks: Collection[str]) -> bool:
        """Tell whether one of these tasks reports the metric."""
        return not set(self.tasks).isdisjoint(tasks)

    def counts(self, metric: str) -> bool:
        """Tell whether it is the one."""
        return metric == self.metric

    def describe(self) -> dict[str, Any]:
        """Return everything that tables need."""
        own = ("metric", "label", "unit", "higher_is_better", "decimals")
        return {"kind": "mean", **{name: getattr(self, name) for name in own}}

    @property
    def note(self) -> str:
        """Whose mean it is."""
        return f"{self.label} is the mean over tasks"


def score_of(described: Mapping[str, Any] | None, tasks: Mapping[str, Any] | None = None) -> Score:
    """Return the score that a record describes; one that describes none is of Δm.

    Args:
        described: what summary.json or environment.json has as ``score``, None without it.
        tasks: what summary.json has as ``tasks``, for the published values; None without it.

    Raises:
        ValueError: it describes no score that is known.
    """
    fields = dict(described) if described is not None else {"kind": DeltaM.key}
    kind = fields.pop("kind", None)
    if kind == DeltaM.key and not fields:
        return DeltaM(*published(tasks or {}))
    types = {"metric": str, "label": str, "unit": str, "higher_is_better": bool, "decimals": int}
    if kind != "mean" or {name: type(value) for name, value in fields.items()} != types:
        raise ValueError("score describes neither Δm nor the mean of a metric")
    return MeanOf(**fields)


def relative_changes(
    values: Metrics, reference: Metrics, higher_is_better: Directions
) -> dict[str, dict[str, float]] | None:
    """Return 100 (-1)^d (M - S) / |S| per task and metric, in percent; negative is an improvement.

    Args:
        values: M, task -> metric -> value.
        reference: S in the same units.
        higher_is_better: d, and at the same time the list of the metrics that count.

    Returns:
        None when a metric has no value or no usable reference: a mean over the rest would be
        another quantity under the same name. ``comparable`` leaves such metrics out by intent.
    """
    changes: dict[str, dict[str, float]] = {}
    for task, directions in higher_is_better.items():
        changes[task] = {}
        for metric, higher in directions.items():
            value = values.get(task, {}).get(metric)
            single = reference.get(task, {}).get(metric)
            if value is None or not _is_usable(single):
                return None
            sign = -1.0 if higher else 1.0
            changes[task][metric] = 100.0 * sign * (value - single) / abs(single)
    return changes


def delta_m(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δm in percent, the mean change over all metrics.

    None as in ``relative_changes``, and when no metric counts.
    """
    changes = relative_changes(values, reference, higher_is_better) or {}
    every = [change for task in changes.values() for change in task.values()]
    return fmean(every) if every else None


def delta_t(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δt in percent, the mean over tasks of the mean change of the task's metrics.

    None as for ``delta_m``; a task without a metric that counts takes no part.
    """
    changes = relative_changes(values, reference, higher_is_better) or {}
    tasks = [fmean(task.values()) for task in changes.values() if task]
    return fmean(tasks) if tasks else None


def comparable(reference: Metrics, higher_is_better: Directions) -> Directions:
    """Return the directions of the metrics that have a usable reference, without empty tasks."""
    usable = {
        task: {m: d for m, d in metrics.items() if _is_usable(reference.get(task, {}).get(m))}
        for task, metrics in higher_is_better.items()
    }
    return {task: metrics for task, metrics in usable.items() if metrics}


def incomparable(reference: Metrics, higher_is_better: Directions) -> dict[str, float | None]:
    """Return the other metrics as "task metric" with what there is in place of a reference."""
    found = {
        f"{task} {metric}": reference.get(task, {}).get(metric)
        for task, metrics in higher_is_better.items()
        for metric in metrics
    }
    return {name: single for name, single in found.items() if not _is_usable(single)}


def describe_incomparable(found: Mapping[str, float | None]) -> str:
    """Return for instance ``semantic ll (none), depth r2 (0)``."""
    return ", ".join(
        f"{name} ({'none' if single is None else f'{single:g}'})" for name, single in found.items()
    )


def published(tasks: Mapping[str, Any]) -> tuple[Metrics, Directions]:
    """Return the published single-task values and the directions of a summary's ``tasks``."""
    metrics = {task: description["metrics"] for task, description in tasks.items()}
    return (
        {t: {m: fields.get("reference") for m, fields in ms.items()} for t, ms in metrics.items()},
        {
            t: {m: fields["higher_is_better"] for m, fields in ms.items()}
            for t, ms in metrics.items()
        },
    )


def _is_usable(reference: float | None) -> TypeGuard[float]:
    return reference is not None and math.isfinite(reference) and reference != 0
