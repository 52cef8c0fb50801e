"""Metrics of a network on a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from mtl_bench.algorithms.base import Metrics
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import DataError, TrainingError
from mtl_bench.tasks import Accumulator, Task


@torch.inference_mode()
def evaluate(
    network: Architecture,
    batches: Iterable[Batch],
    tasks: Sequence[Task],
    device: torch.device,
    where: str = "the evaluation",
) -> Metrics:
    """Return task -> metric -> value over all batches.

    A batch that lacks the targets of a task takes no part in that task's metrics. Errors say
    ``where`` it was.

    Raises:
        DataError: no batch has a valid target of a task; the line names the task.
        TrainingError: a metric is not finite; the line names task and metric.
    """
    network.eval()
    accumulators = {task.name: task.accumulator() for task in tasks}
    for batch in batches:
        here = batch.to(device)
        predictions = network(here)
        for name, accumulator in accumulators.items():
            if name in here.targets:
                accumulator.update(predictions[name], here.targets[name])
    metrics = {name: _computed(name, accumulator) for name, accumulator in accumulators.items()}
    for task, values in metrics.items():
        for metric, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(f"task {task}: {metric} of {where} is {value}")
    return metrics


def _computed(task: str, accumulator: Accumulator) -> dict[str, float]:
    try:
        return accumulator.compute()
    except DataError as error:
        raise DataError(f"task {task}: {error}") from error
