"""Metrics of a network on a split, and the rules that choose which epoch's are reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import DataError, TrainingError
from mtl_bench.tasks import Accumulator, Task

Metrics = dict[str, dict[str, float]]


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


def select(
    history: Sequence[Mapping[str, Any]], best_epochs: Mapping[str, int] | None, last_k: int
) -> tuple[dict[str, Metrics], dict[str, Any]]:
    """Return the test metrics under every selection rule, and the epochs that each rule used.

    ``last`` reports the last epoch, ``last_k_mean`` the mean over the last k, and ``best_val`` the
    epoch with the best validation criterion. No rule looks at the test metrics.

    Args:
        history: the lines of metrics.jsonl.
        best_epochs: task -> its selected epoch; one number for all tasks of a shared network. None
            without validation data: there is no ``best_val`` then.
        last_k: k.
    """
    by_epoch = {line["epoch"]: line["test"] for line in history}
    last = max(by_epoch)
    tail = sorted(by_epoch)[-last_k:]
    tests = by_epoch[last]
    rules: dict[str, Metrics] = {
        "last": {task: dict(values) for task, values in tests.items()},
        "last_k_mean": {
            task: {metric: fmean(by_epoch[e][task][metric] for e in tail) for metric in values}
            for task, values in tests.items()
        },
    }
    epochs: dict[str, Any] = {"last": last, "last_k_mean": tail}
    if best_epochs is not None:
        rules["best_val"] = {task: dict(by_epoch[best_epochs[task]][task]) for task in tests}
        epochs["best_val"] = dict(best_epochs)
    return rules, epochs
