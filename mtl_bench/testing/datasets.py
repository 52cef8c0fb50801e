"""The contract of a data set."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch

from mtl_bench.datasets.base import Batch, Dataset, evaluated_splits, group_rows


def check_dataset(data: Dataset) -> None:
    """Check that tasks describe themselves and that batches are a function of seed and epoch.

    Where each sample belongs to one task (``task_inputs``), batches must be in groups of tasks.

    A run that is resumed in the middle of an epoch asks for the batches from there on; they must be
    those that the uninterrupted run sees.

    Args:
        data: the data set, small enough that two epochs take a moment.

    Raises:
        AssertionError: something isn't kept; the line says what.
    """
    who = type(data).__name__
    names = tuple(task.name for task in data.tasks)
    assert names == tuple(data.task_names), f"{who}: task_names are {data.task_names}, not {names}"
    missing = {"kind", "source", "manifest"} - set(data.origin)
    assert not missing, f"{who}.origin doesn't say {sorted(missing)}"
    for task in data.tasks:
        for metric in task.metrics:
            assert math.isfinite(metric.reference or 0), (
                f"{who}: {metric.name} of {task.name} has the reference {metric.reference}; "
                "None stands for none"
            )
    own_inputs = getattr(data, "task_inputs", False)
    before = torch.get_rng_state()
    epoch = list(data.train_batches(1))
    assert len(epoch) == data.steps_per_epoch, (
        f"{who}: an epoch has {len(epoch)} batches, steps_per_epoch says {data.steps_per_epoch}"
    )
    for batch in epoch:
        assert hasattr(batch, "rows") == own_inputs, (
            f"{who}: batches with rows of their own for each task go with task_inputs = True"
        )
        if own_inputs:
            _check_groups(batch, who)
    list(data.train_batches(2))
    middle = len(epoch) // 2
    sizes = [len(data.sample_names(1, number)) for number in range(len(epoch))]
    assert all(sizes), f"{who}.sample_names gives {sizes} names for the batches of an epoch"
    _check_equal(data.train_batches(1, start=middle), epoch[middle:], f"{who}, start={middle}")
    if "numbers" in inspect.signature(data.train_batches).parameters:
        every_second = data.train_batches(1, numbers=range(0, len(epoch), 2))
        _check_equal(every_second, epoch[::2], f"{who}, numbers=range(0, {len(epoch)}, 2)")
    for split in evaluated_splits(data):
        batches = list(data.evaluation_batches(split))
        assert batches, f"{who}: the {split} split is empty"
        _check_equal(data.evaluation_batches(split), batches, f"{who}, {split}")
    assert torch.equal(before, torch.get_rng_state()), (
        f"{who} draws from torch's global generator; derive_seed(seed, purpose) gives it its own"
    )


def _check_groups(batch: Any, who: str) -> None:  # noqa: ANN401 - a TaskBatch
    assert dict(batch.rows) == group_rows(batch.targets), (
        f"{who}: rows are {batch.rows}, not one slice for each of its targets, in their order"
    )
    for task, targets in batch.targets.items():
        own = batch.of(task)
        alone = list(own.rows) == [task] and torch.equal(own.targets[task], targets)
        assert alone, f"{who}: of({task!r}) is not the batch of that task's samples alone"


def _check_equal(again: Iterable[Batch], expected: list[Batch], where: str) -> None:
    batches = list(again)
    assert len(batches) == len(expected), f"{where}: {len(batches)} batches, not {len(expected)}"
    for number, (batch, other) in enumerate(zip(batches, expected, strict=True)):
        for task, targets in batch.targets.items():
            assert torch.equal(targets, other.targets[task]), (
                f"{where}: batch {number} has other targets of {task} the second time"
            )
