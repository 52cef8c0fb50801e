"""What data sets of numbered samples have in common: splits, orders and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Generic, TypeVar

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
        batch_size: samples in a training batch.
        eval_batch_size: samples in a batch of an evaluation; the last may be smaller.
        drop_last: leave out an epoch's last batch if it is smaller.

    Raises:
        DataError: there is no training batch.
    """

    name: ClassVar[str]

    def __init__(
        self,
        store: Store[B],
        splits: Mapping[Split, np.ndarray],
        seed: int,
        batch_size: int,
        eval_batch_size: int,
        drop_last: bool = False,
    ) -> None:
        self.store, self.splits, self.seed = store, splits, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.drop_last = drop_last
        self.has_validation = "validation" in splits
        if not self.steps_per_epoch:
            raise DataError(
                f"{self.name}: {len(splits['train'])} samples are left to train on, too few for a "
                f"batch: lower dataset.batch_size={batch_size} or what is held out, or raise "
                "dataset.train_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        samples = len(self.splits["train"])
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def training_store(self, epoch: int) -> Store[B]:
        """Return what makes an epoch's training batches, where it is not what makes the others."""
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

        Order and augmentation are functions of seed, epoch and sample, whoever prepares the
        batches, so that there is no state to save.
        """
        store, order = self.training_store(epoch), self.order(epoch)
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
        order = generator.permutation(self.splits["train"])
        return order[: self.steps_per_epoch * self.batch_size]

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
