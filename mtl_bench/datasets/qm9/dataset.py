"""The QM9 benchmark: splits, standardised targets, batches and tasks.

Legend of shape suffixes: M molecules of the data set, T = 11 targets.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mtl_bench.advice import data_command
from mtl_bench.datasets.base import Split
from mtl_bench.datasets.loading import Store
from mtl_bench.datasets.molecules import (
    MoleculeBatch,
    MoleculeStore,
    PaddedStore,
    ResidentMoleculeStore,
)
from mtl_bench.datasets.numbered import NumberedSamples, first_of
from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.datasets.qm9.verify import layout_fault
from mtl_bench.datasets.store.cache import open_cache
from mtl_bench.errors import DataError
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.seeding import derive_seed
from mtl_bench.tasks import Metric, Task
from mtl_bench.values import Ge, Le, NonNegativeInt, PositiveInt

HELD_OUT = 10_000
"""Molecules of the test set, and as many of the validation set."""


def require_enough(molecules: int, folder: Path) -> None:
    """Refuse a set of molecules that leaves nothing to train on.

    Raises:
        DataError: it names the folder and the command that builds the whole set.
    """
    if molecules <= 2 * HELD_OUT:
        raise DataError(
            f"QM9 has {molecules} molecules in {folder}, too few to hold out 2 x {HELD_OUT}: run "
            f"`{data_command('prepare', 'qm9', folder)}` to build the whole set"
        )


def split_indices(molecules: int, seed: int) -> dict[Split, np.ndarray]:
    """Return the molecules of each split, a function of the seed alone.

    One random permutation: its first 10,000 are the test set, the next 10,000 the validation set,
    the rest the training set, as Nash-MTL splits it. There the permutation also depends on how
    many random numbers the network's initialisation drew; here it does not.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    order = torch.randperm(molecules, generator=generator).numpy()
    return {
        "test": order[:HELD_OUT],
        "validation": order[HELD_OUT : 2 * HELD_OUT],
        "train": order[2 * HELD_OUT :],
    }


def _in_unit(mean: float, deviation: float, standardised_B: Tensor) -> Tensor:
    return mean + deviation * standardised_B.double()


class QM9(NumberedSamples[MoleculeBatch]):
    """QM9 as Nash-MTL (ICML 2022) prepares it: complete graphs, 11 standardised targets.

    Args:
        root: folder that ``mtl-bench data prepare qm9`` filled.
        seed: seed of the split and of the order of the batches.
        train_size: molecules to train on, the first of the training split; None for all.
        val_size: molecules to validate on, the first of the validation split.
        test_size: molecules to test on, the first of the test split.
        batch_size: molecules in a batch; the last of an epoch may be smaller.
        resident: whether a training keeps the molecules on its device, which makes the batches
            itself: nothing else has to keep up with it, and 1.2 GB of its memory are taken.
        padded: whether all molecules of a training batch have the room of the largest molecule, 29
            atoms, so that full batches have the same shapes: fewer and larger operations, and
            ``trainer.compile``. It is for a GPU; a CPU takes twice as long or more.

    A sample's name is the molecule's number in the prepared arrays, counted from 0. Mean and
    deviation (unbiased) of the standardisation are over all molecules, held-out ones included, as
    in the published protocol.

    Raises:
        DataError: not prepared, damaged, or too small for the split or for ``train_size``.
    """

    __module__ = "mtl_bench.datasets.qm9"  # the path that configurations name

    store: MoleculeStore | ResidentMoleculeStore

    name = "qm9"
    task_names = tuple(target.name for target in TARGETS)

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        train_size: PositiveInt | None = None,
        val_size: Annotated[int, Ge(1), Le(10_000)] = HELD_OUT,
        test_size: Annotated[int, Ge(1), Le(10_000)] = HELD_OUT,
        batch_size: PositiveInt = 120,
        resident: bool = False,
        padded: bool = False,
    ) -> None:
        folder = Path(root)
        cache = open_cache(folder, "qm9")
        fault = layout_fault(cache.arrays)
        if fault is None and not isinstance(cache.manifest.get("source"), str):
            fault = "its manifest names no source"
        if fault is not None:
            prepare = data_command("prepare", "qm9", folder)
            raise DataError(f"{folder} holds no QM9 ({fault}): run `{prepare}`")
        self.resident = resident
        self.padded = padded
        self.ragged = None if padded else "dataset.padded=true"
        self.origin = {
            "kind": "real",
            "source": cache.manifest["source"],
            "manifest": cache.manifest_hash,
        }
        self.targets = torch.from_numpy(np.array(cache.arrays["targets"]))
        deviation_T, mean_T = torch.std_mean(self.targets, dim=0)
        self.tasks = tuple(
            Task(
                name=target.name,
                label=target.label,
                loss=functional.mse_loss,
                metrics=(
                    Metric(
                        "mae",
                        unit=target.unit,
                        decimals=target.decimals,
                        reference=target.reference,
                    ),
                ),
                accumulator=partial(MeanAbsoluteError, deviation.item()),
                readable=partial(_in_unit, mean.item(), deviation.item()),
            )
            for target, mean, deviation in zip(TARGETS, mean_T, deviation_T, strict=True)
        )
        require_enough(len(self.targets), folder)
        splits = split_indices(len(self.targets), seed)
        what = "molecules that validation and test leave: give at most as many, or null for all"
        train_size = first_of(len(splits["train"]), train_size, "train_size", what)
        sizes: dict[Split, int] = {"train": train_size, "validation": val_size, "test": test_size}
        store = MoleculeStore(
            cache.arrays,
            ((self.targets - mean_T) / deviation_T).float().numpy(),
            self.task_names,
        )
        chosen = {name: molecules[: sizes[name]] for name, molecules in splits.items()}
        super().__init__(store, chosen, seed, batch_size, batch_size)

    def move(self, device: torch.device) -> None:
        """Keep the molecules on a device from now on; batches are made there, in this process."""
        if isinstance(self.store, MoleculeStore):
            self.store = ResidentMoleculeStore(self.store, device)

    def training_store(self, epoch: int) -> Store[MoleculeBatch]:
        """Return what makes the training batches."""
        return PaddedStore(self.store) if self.padded else self.store

    def order(self, epoch: int) -> np.ndarray:
        """Return the numbers of an epoch's molecules, batch after batch."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batches", epoch))
        molecules = self.splits["train"]
        return molecules[torch.randperm(len(molecules), generator=generator).numpy()]
