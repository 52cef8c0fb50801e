"""CelebA as forty tasks: whether a face has an attribute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.celeba.files import FILES, NAMES, SPLITS, read_lists, read_picture
from mtl_bench.datasets.classification import ERROR, classify
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.datasets.numbered import NumberedSamples, first_of
from mtl_bench.values import NonNegativeInt, PositiveInt


class CelebA(NumberedSamples[ImageBatch]):
    """CelebA with its attributes as tasks, at the size of Sener and Koltun (NeurIPS 2018).

    Pictures are RGB from 0 to 1 without further normalisation. The split is the official one;
    Sener and Koltun's code evaluates on its validation part.

    Args:
        root: folder of the archive and the two lists, real or procedural.
        seed: seed of the order of the batches.
        size: rows and columns that pictures are resized to.
        train_size: pictures to train on, the first ones; None for all (162,770).
        val_size: pictures to validate on, the first ones; None for all (19,867).
        test_size: pictures to test on, the first ones; None for all (19,962).
        batch_size: pictures in a training batch; the last may be smaller.
        eval_batch_size: pictures in a batch of an evaluation.

    Raises:
        DataError: files are missing or damaged, or there are too few pictures.
    """

    __module__ = "mtl_bench.datasets.celeba"  # the path that configurations name

    name = "celeba"
    task_names = tuple(name.lower() for name in NAMES)
    score = "error"

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        size: PositiveInt = 64,
        train_size: PositiveInt | None = None,
        val_size: PositiveInt | None = None,
        test_size: PositiveInt | None = None,
        batch_size: PositiveInt = 256,
        eval_batch_size: PositiveInt = 256,
    ) -> None:
        folder = Path(root)
        self.origin = FILES.open(folder).origin
        lists = read_lists(folder)
        splits: dict[Split, np.ndarray] = {}
        wanted = {"train_size": train_size, "val_size": val_size, "test_size": test_size}
        for part, (split, (key, count)) in enumerate(zip(SPLITS, wanted.items(), strict=True)):
            own = np.flatnonzero(lists.parts_N == part)
            where = f"pictures to {key.partition('_')[0]} in {folder}"
            splits[split] = own[: first_of(len(own), count, key, where)]
        self._pictures = lists.pictures
        store = _Faces(folder, lists.pictures, lists.attributes_NA, size)
        super().__init__(store, splits, seed, batch_size, eval_batch_size)
        self.tasks = tuple(
            classify(name, label.replace("_", " "), ERROR)
            for name, label in zip(self.task_names, NAMES, strict=True)
        )

    def name_of(self, number: int) -> str:
        """Return the name of a picture's file."""
        return self._pictures[number]


@dataclass(frozen=True)
class _Faces:
    """Pictures of the archive, with their attributes."""

    folder: Path
    pictures: list[str]
    attributes_NA: np.ndarray
    size: int

    def __getitems__(self, indices: np.ndarray) -> ImageBatch:
        pixels = [read_picture(self.folder, self.pictures[number], self.size) for number in indices]
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
        attributes = torch.from_numpy(self.attributes_NA[indices])
        return ImageBatch(
            images.contiguous(),
            dict(zip(CelebA.task_names, attributes.unbind(dim=1), strict=True)),
        )
