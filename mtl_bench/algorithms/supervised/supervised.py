"""Supervised multi-task learning on one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from mtl_bench.algorithms.base import Algorithm, Component, MadeUpdate, Metrics
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.compiler import Compiler, Mode
from mtl_bench.algorithms.supervised.evaluation import MeanLoss, evaluate
from mtl_bench.algorithms.supervised.network_checks import GradientFlow
from mtl_bench.algorithms.supervised.optimizer_group import (
    OptimizerGroup,
    Scheduler,
    tasks_by_loss,
)
from mtl_bench.algorithms.supervised.replicas import Replicas
from mtl_bench.algorithms.supervised.selected_networks import SelectedNetworks
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch, Dataset, Split, evaluated_splits
from mtl_bench.methods.base import Method
from mtl_bench.ranks import ALONE, Ranks
from mtl_bench.scores import DeltaM, MeanOf
from mtl_bench.tasks import Task


class Supervised(Algorithm):
    """One network, trained on the batches of a data set.

    Separate networks (``Method.separate_networks``) are trained side by side: each has an
    optimiser, a schedule and a selected epoch of its own.

    Several processes that train together each take neighbouring batches of an update, as many as
    the others or one more, none perhaps; all evaluate.

    Args:
        data: tasks, batches, splits.
        network: predicts all tasks; on its device already.
        method: combines the task gradients.
        optimizer: makes an optimiser of parameters.
        scheduler: makes the schedule of an optimiser, one step an epoch; None for none.
        device: where the network lives.
        accumulate: batches of one update, whose losses and gradients are averaged; of all
            processes together.
        clip_norm: see ``Component``.
        warmup_epochs: see ``OptimizerGroup``.
        loading: options of the data set's batches, ``workers`` and ``pin``.
        ranks: the processes that train together.
        compile: mode of ``Compiler``, None for none.
        **gradients: ``precision``, ``level``, ``backend`` and ``max_memory`` of ``BatchGradients``.
    """

    tasks: tuple[Task, ...]
    shares_updates: ClassVar[bool] = True

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
        warmup_epochs: int = 0,
        loading: dict[str, Any] | None = None,
        ranks: Ranks = ALONE,
        compile: Mode | None = None,
        **gradients: Any,  # noqa: ANN401 - checked by BatchGradients
    ) -> None:
        self.data, self.network, self.method, self.device = data, network, method, device
        self.accumulate = accumulate
        self.loading = loading or {}
        self.ranks, self.replicas = ranks, Replicas(network, data, ranks)
        self.tasks = data.tasks
        self.splits = evaluated_splits(data)
        metric = getattr(data, "score", None)
        self.score = MeanOf.of(metric, self.tasks) if metric else DeltaM.of(self.tasks)
        self.steps_per_epoch = -(-data.steps_per_epoch // accumulate)
        self.origin = data.origin
        self.validation_losses: dict[str, float] = {}
        together = (
            [(task,) for task in self.tasks] if type(method).separate_networks else [self.tasks]
        )
        names = [task.name for task in self.tasks]
        flow = GradientFlow(network, names, lambda text: self.tell(text))
        ragged = getattr(data, "ragged", None)
        self.compiler = None if compile is None else Compiler(compile, device, ragged=ragged)
        own_inputs: bool = getattr(data, "task_inputs", False)
        source = BatchGradients(
            network,
            self.tasks,
            method,
            device,
            flow=flow,
            task_inputs=own_inputs,
            ranks=ranks,
            compiler=self.compiler,
            **gradients,
        )
        self.loss_scale = source.loss_scale
        shared = [*network.shared_parameters(), *network.summed_parameters()]
        self.groups = [
            OptimizerGroup(
                group,
                [*shared, *network.own_parameters([task.name for task in group])],
                optimizer,
                scheduler,
                warmup_epochs,
                self.score,
            )
            for group in together
        ]
        self.selected = SelectedNetworks(network, self.groups)
        self.components = (
            Component(
                "",
                network,
                source,
                method,
                [group.optimizer for group in self.groups],
                clip_norm,
                source.loss_scale,
            ),
        )

    @classmethod
    def serves(cls, data: type) -> bool:
        """Tell whether there are batches."""
        return hasattr(data, "train_batches")

    def epoch(self, number: int, start: int) -> Iterator[list[Batch]]:
        """Yield this process's batches of each update of an epoch."""
        self.network.train()
        if self.ranks.size == 1:
            batches = self.data.train_batches(number, start=start * self.accumulate, **self.loading)
            while group := list(islice(batches, self.accumulate)):
                yield group
            return
        updates = [self._own_batches(step) for step in range(start, self.steps_per_epoch)]
        own = [*chain.from_iterable(updates)]
        batches = self.data.train_batches(number, numbers=own, **self.loading)
        for update in updates:
            yield list(islice(batches, len(update)))

    def _own_batches(self, step: int) -> range:
        """Return the numbers of this process's batches of an update."""
        first = step * self.accumulate
        count = min(self.accumulate, self.data.steps_per_epoch - first)
        rank, size = self.ranks.number, self.ranks.size
        return range(first + count * rank // size, first + count * (rank + 1) // size)

    def step(
        self, data: Sequence[Batch], update: Callable[[Component, Sequence[Batch]], MadeUpdate]
    ) -> None:
        """Make one update of the network, and tell the network of it."""
        compiling = nullcontext() if self.compiler is None else self.compiler.an_update(self.tell)
        with self.replicas.an_update(), compiling:
            made = update(self.components[0], data)
        if self.network.reads_losses:
            self.network.after_update(made.losses)
            self.replicas.copy_buffers()

    def evaluate(self, split: Split, where: str, pause: Callable[[], None]) -> Metrics:
        """Return the metrics on a split."""

        def batches() -> Iterator[Batch]:
            for batch in self.data.evaluation_batches(split, **self.loading):
                yield batch
                pause()

        by_loss = tasks_by_loss(self.groups) if split == "validation" else []
        losses = {task.name: MeanLoss(task) for task in by_loss}
        metrics = evaluate(self.network, batches(), self.tasks, self.device, where, losses)
        if split == "validation":
            self.validation_losses = {t: loss.compute()["loss"] for t, loss in losses.items()}
        return metrics

    def end_epoch(self, epoch: int, metrics: dict[Split, Metrics]) -> dict[str, Any]:
        """Let each group select the epoch and move its schedule on.

        Returns:
            The score of the validation split, or that of the test split where there is none: a test
            decides nothing. ``validation_loss`` by task, of those that don't count in the score.
        """
        validated = self.data.has_validation
        shown: Split = "validation" if validated else "test"
        for group in self.groups:
            decides = group.criterion(metrics[shown], self.validation_losses) if validated else None
            group.end_epoch(epoch, decides)
        self.selected.end_epoch(epoch)
        found = (group.score.value(metrics[shown], group.names) for group in self.groups)
        values = [value for value in found if value is not None]
        scores: dict[str, Any] = {}
        if self.validation_losses:
            scores["validation_loss"] = self.validation_losses
        if values:
            several = len(self.groups) > 1
            name = f"{self.score.key}_{shown}"
            scores[name] = self.score.mean(values) if several else values[0]
        return scores

    @property
    def note(self) -> str:
        """What the score is, and whose validation loss decides in its place."""
        by_loss = tasks_by_loss(self.groups) if self.data.has_validation else []
        names = ", ".join(task.name for task in by_loss)
        return self.score.note + (f"; the validation loss decides for {names}" if names else "")

    def learning_rate(self) -> float:
        """Return the present learning rate, the mean over groups."""
        return fmean(group.learning_rate() for group in self.groups)

    def selected_epochs(self) -> dict[str, int] | None:
        """Return task -> epoch with the best validation criterion; None without validation."""
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

    def keep_in(self, folder: Path) -> None:
        """Keep the networks of the selected epochs in a folder."""
        self.selected.keep_in(folder)

    def write(self) -> None:
        """Write the networks that were selected since the last checkpoint."""
        self.selected.write()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of network, method and optimisers, and where selected networks are.

        The order of batches is a function of the seed and the epoch, so it needs no state.
        """
        return {
            "network": self.network.state_dict(),
            "method": self.method.state_dict(),
            "learners": [group.state_dict() for group in self.groups],
            "selected": self.selected.state_dict(),
            **({} if self.loss_scale is None else {"loss_scale": self.loss_scale.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.network.load_state_dict(state["network"])
        self.method.load_state_dict(state["method"])
        for group, own in zip(self.groups, state["learners"], strict=True):
            group.load_state_dict(own)
        if self.loss_scale is not None:
            self.loss_scale.load_state_dict(state["loss_scale"])
        for name in self.selected.load_state_dict(state.get("selected")):
            self.tell(
                f"{name} was missing or damaged: the network of the selected epoch is lost unless "
                "a later epoch is selected, the training is not affected"
            )
