"""CIFAR-100 as twenty tasks: which of the five classes of its superclass a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.cifar100.archive import FILES, read_parts
from mtl_bench.datasets.cifar100.labels import (
    CLASSES,
    SUPERCLASS_OF,
    SUPERCLASSES,
    rank_of_classes,
)
from mtl_bench.datasets.classification import classify
from mtl_bench.datasets.images import TaskImageBatch
from mtl_bench.datasets.numbered import NumberedSamples, first_of
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, Positive, PositiveInt


class CIFAR100(NumberedSamples[TaskImageBatch]):
    """CIFAR-100 with its superclasses as tasks, after Rosenbaum, Klinger and Riemer (ICLR 2018).

    Each picture belongs to one task. A batch holds random pictures, grouped by their tasks; a task
    that a small batch has no picture of takes no part in its update.

    Args:
        root: folder of the archive, real or procedural.
        seed: seed of the order of the batches and of the held-out pictures.
        label: a class's number within its task. ``rank``: its place among the five. ``mod5``: the
            remainder of its number, as in the published loader; of most superclasses that makes one
            class of several, and accuracies are too good.
        loss: ``squared_error`` from the one-hot class, as published, or ``cross_entropy``.
        scale: the value of the brightest pixels; the published code takes them from 0 to 255.
        train_size: pictures of each task to train on, the first ones; None for all (2,500).
        test_size: pictures of each task to test on, the first ones; None for all (500).
        holdout: pictures of each task's training part that validate.
        batch_size: pictures in a training batch; the last may be smaller.
        eval_batch_size: pictures in a batch of an evaluation.

    Raises:
        DataError: there is no archive, it is damaged, or has too few pictures.
    """

    __module__ = "mtl_bench.datasets.cifar100"  # the path that configurations name

    name = "cifar100"
    task_names = tuple(name.replace("-", "_") for name in SUPERCLASSES)
    task_inputs = True
    score = "accuracy"

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        label: Literal["rank", "mod5"] = "rank",
        loss: Literal["squared_error", "cross_entropy"] = "squared_error",
        scale: Positive = 255.0,
        train_size: PositiveInt | None = None,
        test_size: PositiveInt | None = None,
        holdout: NonNegativeInt = 0,
        batch_size: PositiveInt = 10,
        eval_batch_size: PositiveInt = 200,
    ) -> None:
        folder = Path(root)
        self.origin = FILES.open(folder).origin
        parts = read_parts(folder)
        images = np.concatenate([part.images_NCHW for part in parts.values()])
        classes = np.concatenate([part.classes_N for part in parts.values()])
        tasks, first_test = SUPERCLASS_OF[classes], len(parts["train"].classes_N)
        chosen: dict[Split, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
        for task, name in enumerate(self.task_names):
            own = np.flatnonzero(tasks == task)
            train, test = own[own < first_test], own[own >= first_test]
            if holdout >= len(train) or not len(test):
                raise DataError(
                    f"{folder}: of {name} there are {len(train)} pictures to train and {len(test)} "
                    f"to test, too few for dataset.holdout={holdout}"
                )
            generator = np.random.default_rng(derive_seed(seed, "split", name))
            shuffled = generator.permutation(train)
            left = np.sort(shuffled[holdout:])
            where = f"pictures of {name} in {folder}"
            chosen["train"].append(left[: first_of(len(left), train_size, "train_size", where)])
            chosen["validation"].append(np.sort(shuffled[:holdout]))
            chosen["test"].append(test[: first_of(len(test), test_size, "test_size", where)])
        splits = {split: np.concatenate(numbers) for split, numbers in chosen.items()}
        if not holdout:
            del splits["validation"]
        labels = rank_of_classes() if label == "rank" else np.arange(len(SUPERCLASS_OF)) % CLASSES
        self._tasks_N = tasks
        store = _Grouped(images, tasks, labels[classes], scale / 255)
        super().__init__(store, splits, seed, batch_size, eval_batch_size)
        self.tasks = tuple(
            classify(name, name.replace("_", " "), loss=loss) for name in self.task_names
        )

    def order(self, epoch: int) -> np.ndarray:
        """Return the numbers of an epoch's pictures; within a batch, task after task."""
        order = super().order(epoch)
        batch = np.arange(len(order)) // self.batch_size
        return order[np.lexsort((self._tasks_N[order], batch))]


@dataclass(frozen=True)
class _Grouped:
    """Pictures with their tasks and labels; batches are asked for task after task."""

    images_NCHW: np.ndarray
    tasks_N: np.ndarray
    labels_N: np.ndarray
    scale: float

    def __getitems__(self, indices: np.ndarray) -> TaskImageBatch:
        tasks = self.tasks_N[indices]
        labels = torch.from_numpy(self.labels_N[indices])
        return TaskImageBatch(
            torch.from_numpy(self.images_NCHW[indices]).float() * self.scale,
            {
                CIFAR100.task_names[task]: labels[torch.from_numpy(tasks == task)]
                for task in np.unique(tasks)
            },
        )
