"""What a task is: a name, a loss, and metrics that own their unit and direction.

Data sets build tasks; the trainer, the records and the tables only read them, so that nobody else
keeps a list of signs, units or decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One reported number.

    Args:
        name: key in records, for instance ``"mae"``.
        unit: unit of the reported value, empty for none.
        higher_is_better: the direction; Δm takes its sign from here.
        decimals: digits after the point in tables.
        reference: published single-task value in the same unit; None where there is none, or none
            that Δm can be relative to.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = False
    decimals: int = 2
    reference: float | None = None


class Accumulator(Protocol):
    """Collects one task's predictions batch by batch and answers with its metrics."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch; the shapes are the task's own."""

    def compute(self) -> dict[str, float]:
        """Return metric name -> value over everything taken in, in the metric's unit."""


class TaskSpec:
    """What the trainer, the records and the tables know of a task.

    Attributes:
        name: key in configs and records.
        label: what tables print.
        metrics: what is reported, in the order of the tables.
    """

    name: str
    label: str
    metrics: tuple[Metric, ...]

    def describe(self) -> dict[str, Any]:
        """Return label and metrics as JSON values, as the run record stores them."""
        metrics = {metric.name: asdict(metric) for metric in self.metrics}
        for fields in metrics.values():
            del fields["name"]
            if not math.isfinite(fields["reference"] or 0):
                fields["reference"] = None
        return {"label": self.label, "metrics": metrics}


@dataclass(frozen=True)
class ControlTask(TaskSpec):
    """One task of a suite of environments; see ``TaskSpec``."""

    name: str
    label: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Task(TaskSpec):
    """One task of a data set.

    Args:
        name: key in configs and records, for instance ``"homo"``.
        label: what tables print, for instance ``"ε_HOMO"``.
        loss: (prediction, target) -> scalar tensor, the mean over the batch.
        metrics: what is reported, in the order of the tables.
        accumulator: builds an empty accumulator for one evaluation pass.
        valid: targets -> bool tensor, where the loss learns from them; None where it learns from
            all. A task takes no part in an update if none of its targets is valid.
        readable: predictions or targets of a batch -> the same in the unit of the metrics, and
            classes in place of scores; None where the network works with these itself.
    """

    name: str
    label: str
    loss: Callable[[Tensor, Tensor], Tensor]
    metrics: tuple[Metric, ...]
    accumulator: Callable[[], Accumulator]
    valid: Callable[[Tensor], Tensor] | None = None
    readable: Callable[[Tensor], Tensor] | None = None
