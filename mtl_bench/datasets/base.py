"""What the trainer asks of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import ClassVar, Literal, Protocol, Self

import torch
from torch import Tensor

from mtl_bench.tasks import Task

Split = Literal["train", "validation", "test"]


class Batch(Protocol):
    """Inputs and targets of one step."""

    @property
    def targets(self) -> Mapping[str, Tensor]:
        """Task name -> targets."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""


class TaskBatch(Batch, Protocol):
    """A batch of samples that belong to one task each, in groups: those of a task side by side.

    ``targets[task]`` has one entry for each sample of the task. A task without a sample in the
    batch is in neither ``targets`` nor ``rows``.
    """

    @property
    def rows(self) -> Mapping[str, slice]:
        """Task -> the rows of its samples; see `group_rows`."""

    def of(self, task: str) -> Self:
        """Return the batch of one task's samples alone."""


def group_rows(targets: Mapping[str, Tensor]) -> dict[str, slice]:
    """Return task -> its rows, where a batch has the samples of task after task.

    Args:
        targets: task -> targets of its own samples, in the order of the batch.

    Example:
        >>> import torch
        >>> group_rows({"fish": torch.tensor([4, 0]), "trees": torch.tensor([1])})
        {'fish': slice(0, 2, None), 'trees': slice(2, 3, None)}
    """
    ends = accumulate(len(own) for own in targets.values())
    return {
        task: slice(end - len(own), end)
        for (task, own), end in zip(targets.items(), ends, strict=True)
    }


class Dataset(Protocol):
    """Tasks and batches. Constructed with ``seed`` and the fields of its configuration.

    One with an attribute ``score``, the name of a metric, is scored by that metric's mean over the
    tasks; others by Δm against the references of their metrics.

    One with an attribute ``resident = True`` is told the device of a training by ``move(device)``,
    and then makes its batches there.

    One whose batches of one size differ in shape names by an attribute ``ragged`` the setting that
    makes them alike, such as ``dataset.padded=true``, and has ``ragged = None`` under it.

    One whose samples belong to one task each says so by an attribute ``task_inputs = True``, and
    yields a ``TaskBatch`` each time.
    """

    name: ClassVar[str]
    task_names: ClassVar[tuple[str, ...]]
    tasks: tuple[Task, ...]
    origin: dict[str, str]
    """``kind`` (real or procedural), ``source`` and ``manifest`` (a hash) of the data."""
    has_validation: bool
    """Whether there are validation samples. Without them nothing is selected or scheduled by a
    metric, and ``evaluation_batches`` knows the test split alone."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""

    def train_batches(
        self,
        epoch: int,
        start: int = 0,
        workers: int = 0,
        pin: bool = False,
        numbers: Iterable[int] | None = None,
    ) -> Iterator[Batch]:
        """Yield an epoch's batches from number ``start`` on; seed and epoch decide their order.

        Several processes that train together ask for the ``numbers`` of their own instead, counted
        from 0; where there is no such argument, one process alone can train.
        """

    def sample_names(self, epoch: int, batch: int) -> list[str]:
        """Return what a person knows the samples of an epoch's batch number ``batch`` by."""

    def evaluation_batches(
        self, split: Split, workers: int = 0, pin: bool = False
    ) -> Iterator[Batch]:
        """Yield a split's batches in a fixed order."""


def evaluated_splits(data: Dataset) -> tuple[Split, ...]:
    """Return the splits that are evaluated after every epoch."""
    return ("validation", "test") if data.has_validation else ("test",)
