"""What data sets of numbered samples have in common: splits, orders and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

import numpy as np

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.loading import Store, load_batches
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed

B = TypeVar("B")


class NumberedSamples(Generic[B]):
    """The batches of a data set whose samples have numbers in a store.

    Args:
        store: makes a batch of numbers.
        splits: numbers of each split's samples; without a validation split nothing is selected.
        seed: seed of the order of the batches.
        batch_size: samples in a training batch; the last of an epoch may be smaller.
        eval_batch_size: samples in a batch of an evaluation.
    """

    def __init__(
        self,
        store: Store[B],
        splits: Mapping[Split, np.ndarray],
        seed: int,
        batch_size: int,
        eval_batch_size: int,
    ) -> None:
        self.store, self.splits, self.seed = store, splits, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.has_validation = "validation" in splits

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        return -(-len(self.splits["train"]) // self.batch_size)

    @property
    def training_store(self) -> Store[B]:
        """What makes the training batches, where it is not what makes the others."""
        return self.store

    def train_batches(
        self,
        epoch: int,
        start: int = 0,
        workers: int = 0,
        pin: bool = False,
        numbers: Iterable[int] | None = None,
    ) -> Iterator[B]:
        """Yield the batches of an epoch from number ``start`` on, or those of ``numbers``.

        Their order is a function of seed and epoch, so that there is no state to save.
        """
        store, order = self.training_store, self.order(epoch)
        return load_batches(store, order, self.batch_size, workers, pin, start, numbers)

    def evaluation_batches(self, split: Split, workers: int = 0, pin: bool = False) -> Iterator[B]:
        """Yield the batches of a split in a fixed order."""
        return load_batches(self.store, self.splits[split], self.eval_batch_size, workers, pin)

    def sample_names(self, epoch: int, batch: int) -> list[str]:
        """Return the names of a batch's samples."""
        first = batch * self.batch_size
        return [self.name_of(number) for number in self.order(epoch)[first:][: self.batch_size]]

    def order(self, epoch: int) -> np.ndarray:
        """Return the numbers of an epoch's samples, batch after batch."""
        generator = np.random.default_rng(derive_seed(self.seed, "batches", epoch))
        return generator.permutation(self.splits["train"])

    def name_of(self, number: int) -> str:
        """Return what a person knows a sample by."""
        return str(number)


def first_of(count: int, size: int | None, key: str, what: str) -> int:
    """Return how many of the samples that there are shall be used.

    Args:
        count: those that there are.
        size: those that are wanted; None for all.
        key: field of the configuration that says so.
        what: what they are called.

    Raises:
        DataError: there are fewer.
    """
    if size is not None and size > count:
        raise DataError(f"dataset.{key}={size} is more than the {count} {what}")
    return count if size is None else size
