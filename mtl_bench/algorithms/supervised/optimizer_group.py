"""Parameters that are optimised and selected together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mtl_bench.scores import DeltaM, Metrics, Score
from mtl_bench.tasks import Task

Scheduler = LRScheduler | ReduceLROnPlateau


class OptimizerGroup:
    """Parameters that are optimised, scheduled and selected together.

    A network that tasks share is one group of all tasks; separate networks are one group each.
    What decides is the score, and where none of the tasks counts in it, the mean of their
    validation losses.

    Args:
        tasks: the tasks whose validation decides.
        parameters: what is optimised.
        optimizer: makes the optimiser of the parameters.
        scheduler: makes its schedule, None for none.
        warmup_epochs: W first epochs, the e-th of which has e / (W + 1) of the learning rate. The
            schedule begins after them, with the whole rate.
        score: of the run; None for Δm against the published values of the tasks.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        parameters: Iterable[nn.Parameter],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Scheduler] | None = None,
        warmup_epochs: int = 0,
        score: Score | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.names = tuple(task.name for task in tasks)
        self.score = score or DeltaM.of(tasks)
        self.optimizer = optimizer(parameters)
        self.scheduler = scheduler(self.optimizer) if scheduler is not None else None
        if isinstance(self.scheduler, ReduceLROnPlateau) and self.score.higher_is_better:
            # of criteria below zero an equal one would be better by a relative threshold
            self.scheduler.threshold_mode = "abs"
        self.warmup_epochs = warmup_epochs
        self._whole_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._warm_up(1)
        self.best_criterion = float("inf")
        self.best_epoch = 0

    @property
    def goes_by_loss(self) -> bool:
        """Whether none of the tasks counts in the score."""
        return not self.score.covers(self.names)

    def criterion(self, metrics: Metrics, losses: Mapping[str, float]) -> float:
        """Return what decides; lower is better.

        Args:
            metrics: task -> metric -> value on the validation set.
            losses: task -> mean loss on the validation set, read only if ``goes_by_loss``.
        """
        if self.goes_by_loss:
            return fmean(losses[name] for name in self.names)
        return self.score.criterion(metrics, self.names)

    def end_epoch(self, epoch: int, criterion: float | None) -> None:
        """Select the epoch if it is at least as good as the best, and move the schedule on.

        Args:
            epoch: that has ended.
            criterion: of its validation metrics, None without validation.
        """
        if criterion is not None and criterion <= self.best_criterion:
            self.best_criterion, self.best_epoch = criterion, epoch
        if epoch <= self.warmup_epochs:
            self._warm_up(epoch + 1)
        elif isinstance(self.scheduler, ReduceLROnPlateau):
            assert criterion is not None  # refused before training
            self.scheduler.step(criterion)
        elif self.scheduler is not None:
            with warnings.catch_warnings():  # a run may be resumed after an epoch's last update
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                self.scheduler.step()

    def _warm_up(self, epoch: int) -> None:
        """Set the learning rate of one of the first epochs; torch's warm-up knows no plateaus."""
        share = min(1.0, epoch / (self.warmup_epochs + 1))
        for group, whole in zip(self.optimizer.param_groups, self._whole_rates, strict=True):
            group["lr"] = share * whole

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


def tasks_by_loss(groups: Sequence[OptimizerGroup]) -> list[Task]:
    """Return the tasks of the groups that go by the validation loss."""
    return [task for group in groups if group.goes_by_loss for task in group.tasks]
