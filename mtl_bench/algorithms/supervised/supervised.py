"""Supervised multi-task learning on one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mtl_bench.algorithms.base import Algorithm, Component, Metrics
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.evaluation import evaluate
from mtl_bench.algorithms.supervised.optimizer_group import OptimizerGroup, Scheduler
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch, Dataset, Split, evaluated_splits
from mtl_bench.methods.base import Method


class Supervised(Algorithm):
    """One network, trained on the batches of a data set.

    Separate networks (``Method.separate_networks``) are trained side by side: each has an
    optimiser, a schedule and a selected epoch of its own.

    Args:
        data: tasks, batches, splits.
        network: predicts all tasks; on its device already.
        method: combines the task gradients.
        optimizer: makes an optimiser of parameters.
        scheduler: makes the schedule of an optimiser, one step an epoch; None for none.
        device: where the network lives.
        accumulate: batches of one update, whose losses and gradients are averaged.
        clip_norm: see ``Component``.
        loading: options of the data set's batches, ``workers`` and ``pin``.
        **gradients: ``precision``, ``level`` and ``backend`` of ``BatchGradients``.
    """

    def __init__(
        self,
        data: Dataset,
        network: Architecture,
        method: Method,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Scheduler] | None = None,
        *,
        device: torch.device,
        accumulate: int = 1,
        clip_norm: float | None = None,
        loading: dict[str, Any] | None = None,
        **gradients: Any,  # noqa: ANN401 - checked by BatchGradients
    ) -> None:
        self.data, self.network, self.method, self.device = data, network, method, device
        self.accumulate = accumulate
        self.loading = loading or {}
        self.tasks = data.tasks
        self.splits = evaluated_splits(data)
        self.steps_per_epoch = -(-data.steps_per_epoch // accumulate)
        self.origin = data.origin
        together = [(task,) for task in self.tasks] if method.separate_networks else [self.tasks]
        shared = network.shared_parameters()
        self.groups = [
            OptimizerGroup(
                group,
                [*shared, *network.own_parameters([task.name for task in group])],
                optimizer,
                scheduler,
            )
            for group in together
        ]
        self.components = (
            Component(
                "",
                network,
                BatchGradients(network, self.tasks, method, device, **gradients),
                method,
                [group.optimizer for group in self.groups],
                clip_norm,
            ),
        )

    def epoch(self, number: int, start: int) -> Iterator[list[Batch]]:
        """Yield the batches of each update of an epoch."""
        self.network.train()
        batches = self.data.train_batches(number, start=start * self.accumulate, **self.loading)
        while group := list(islice(batches, self.accumulate)):
            yield group

    def step(
        self, data: Sequence[Batch], update: Callable[[Component, Sequence[Batch]], object]
    ) -> None:
        """Make one update of the network."""
        update(self.components[0], data)

    def evaluate(self, split: Split, where: str, pause: Callable[[], None]) -> Metrics:
        """Return the metrics on a split."""

        def batches() -> Iterator[Batch]:
            for batch in self.data.evaluation_batches(split, **self.loading):
                yield batch
                pause()

        return evaluate(self.network, batches(), self.tasks, self.device, where)

    def end_epoch(self, epoch: int, metrics: dict[Split, Metrics]) -> dict[str, float]:
        """Let each group select the epoch and move its schedule on; return the Δm.

        It is of the validation split, or of the test split where there is none. A test decides
        nothing.
        """
        shown: Split = "validation" if self.data.has_validation else "test"
        found = metrics[shown]
        criteria = [
            group.criterion({task.name: found[task.name] for task in group.tasks})
            for group in self.groups
        ]
        for group, criterion in zip(self.groups, criteria, strict=True):
            group.end_epoch(epoch, criterion if self.data.has_validation else None)
        return {f"delta_m_{shown}": fmean(criteria) - (0 if len(self.groups) == 1 else 100)}

    def learning_rate(self) -> float:
        """Return the present learning rate, the mean over groups."""
        return fmean(group.learning_rate() for group in self.groups)

    def selected_epochs(self) -> dict[str, int] | None:
        """Return task -> epoch with the best validation Δm; None without validation."""
        if not self.data.has_validation:
            return None
        return {task.name: group.best_epoch for group in self.groups for task in group.tasks}

    def sample_names(self, epoch: int, step: int) -> list[list[str]]:
        """Return the names of the samples in each batch of an update."""
        first = step * self.accumulate
        count = min(self.accumulate, self.data.steps_per_epoch - first)
        return [self.data.sample_names(epoch, first + number) for number in range(count)]

    def parameter_counts(self) -> dict[str, int]:
        """Return how many scalars the network has, and how many of them tasks share."""
        return {
            "total": sum(p.numel() for p in self.network.parameters()),
            "shared": sum(p.numel() for p in self.network.shared_parameters()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the states of network, method and optimisers.

        The order of batches is a function of the seed and the epoch, so it needs no state.
        """
        return {
            "network": self.network.state_dict(),
            "method": self.method.state_dict(),
            "learners": [group.state_dict() for group in self.groups],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.network.load_state_dict(state["network"])
        self.method.load_state_dict(state["method"])
        for group, own in zip(self.groups, state["learners"], strict=True):
            group.load_state_dict(own)
