"""Metrics of a network on a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from mtl_bench.algorithms.base import Metrics
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import DataError, TrainingError
from mtl_bench.metrics.averages import no_valid_target
from mtl_bench.tasks import Accumulator, Task


class MeanLoss:
    """The mean of a task's loss over a set; every batch counts by its number of samples.

    A batch without a valid target of the task does not count.

    Args:
        task: whose loss, a mean over a batch, is averaged.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.total: Tensor | float = 0.0
        self.samples: Tensor | int = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch; the shapes are the task's own."""
        valid = self.task.valid
        samples = len(target) if valid is None else len(target) * valid(target).any()
        self.total = self.total + samples * self.task.loss(prediction, target).double()
        self.samples = self.samples + samples

    def compute(self) -> dict[str, float]:
        """Return {"loss": value}.

        Raises:
            DataError: no batch had targets.
        """
        if not self.samples:
            raise no_valid_target()
        return {"loss": float(self.total) / int(self.samples)}


@torch.inference_mode()
def evaluate(
    network: Architecture,
    batches: Iterable[Batch],
    tasks: Sequence[Task],
    device: torch.device,
    where: str = "the evaluation",
    losses: Mapping[str, MeanLoss] = MappingProxyType({}),
) -> Metrics:
    """Return task -> metric -> value over all batches.

    A batch that lacks the targets of a task takes no part in that task's metrics.

    Args:
        network: predicts all tasks; it is left in evaluation mode.
        batches: of the set.
        tasks: whose metrics are asked for.
        device: where the network lives.
        where: what errors say of the set.
        losses: task -> its loss, to be averaged in the same pass.

    Raises:
        DataError: no batch has a valid target of a task, or its accumulator lacks one of its
            metrics; the line names the task.
        TrainingError: a metric or a loss is not finite; the line names task and metric.
    """
    network.eval()
    accumulators = {task.name: task.accumulator() for task in tasks}
    for batch in batches:
        here = batch.to(device)
        predictions = network(here)
        for name, accumulator in (*accumulators.items(), *losses.items()):
            if name in here.targets:
                accumulator.update(predictions[name], here.targets[name])
    metrics = {name: _compute(name, each, where) for name, each in accumulators.items()}
    for name, loss in losses.items():
        _compute(name, loss, where)
    for task in tasks:
        for metric in task.metrics:
            if metric.name not in metrics[task.name]:
                raise DataError(
                    f"task {task.name}: its accumulator returns no {metric.name}, which the task's "
                    "metrics name"
                )
    return metrics


def _compute(task: str, accumulator: Accumulator, where: str) -> dict[str, float]:
    try:
        values = accumulator.compute()
    except DataError as error:
        raise DataError(f"task {task}: {error}") from error
    for metric, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"task {task}: {metric} of {where} is {value}: predictions or targets are not "
                "finite; a lower optimizer.lr may help"
            )
    return values
