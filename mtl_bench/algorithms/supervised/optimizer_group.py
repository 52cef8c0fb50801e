"""Parameters that are optimised and selected together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_bench.errors import ConfigError
from mtl_bench.scores import delta_m
from mtl_bench.tasks import Task

Scheduler = LRScheduler | ReduceLROnPlateau


class OptimizerGroup:
    """Parameters that are optimised, scheduled and selected together.

    A network that tasks share is one group of all tasks; separate networks are one group each.

    Args:
        tasks: the tasks whose validation metrics decide.
        parameters: what is optimised.
        optimizer: makes the optimiser of the parameters.
        scheduler: makes its schedule, None for none.

    Raises:
        ConfigError: a metric has no published reference although the criterion needs it.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        parameters: Iterable[nn.Parameter],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Scheduler] | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.optimizer = optimizer(parameters)
        self.scheduler = scheduler(self.optimizer) if scheduler is not None else None
        self.best_criterion = float("inf")
        self.best_epoch = 0
        self._directions = {
            task.name: {m.name: m.higher_is_better for m in task.metrics} for task in tasks
        }
        self._reference = {task.name: {m.name: m.reference for m in task.metrics} for task in tasks}
        for task in tasks:
            for metric in task.metrics:
                if metric.reference is None:
                    raise ConfigError(
                        f"task {task.name}: {metric.name} has no published single-task value, "
                        "which the validation Δm is measured against"
                    )

    def criterion(self, metrics: dict[str, dict[str, float]]) -> float:
        """Return the Δm of metrics in percent against the published single-task values.

        For a single task it is 100 + Δm, which is proportional to an error that is better when
        lower: the scheduler's relative threshold then means the same as on the error itself.
        """
        change = delta_m(metrics, self._reference, self._directions)
        assert change is not None
        return change if len(self.tasks) > 1 else 100 + change

    def end_epoch(self, epoch: int, criterion: float | None) -> None:
        """Select the epoch if it is at least as good as the best, and move the schedule on.

        Args:
            epoch: that has ended.
            criterion: of its validation metrics, None without validation.
        """
        if criterion is not None and criterion <= self.best_criterion:
            self.best_criterion, self.best_epoch = criterion, epoch
        if isinstance(self.scheduler, ReduceLROnPlateau):
            assert criterion is not None  # refused before training
            self.scheduler.step(criterion)
        elif self.scheduler is not None:
            with warnings.catch_warnings():  # a run may be resumed after an epoch's last update
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                self.scheduler.step()

    def learning_rate(self) -> float:
        """Return the present learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continuing needs."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "best_criterion": self.best_criterion,
            "best_epoch": self.best_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.best_criterion = state["best_criterion"]
        self.best_epoch = state["best_epoch"]
