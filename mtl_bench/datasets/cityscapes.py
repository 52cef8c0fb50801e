"""The Cityscapes benchmark: segmentation, instances and disparity of street scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.cityscapes_files import (
    PROCEDURAL,
    Frame,
    Part,
    check_headers,
    digest,
    frame_size,
    list_frames,
)
from mtl_bench.datasets.cityscapes_frames import decode_frame, has_decoded, map_decoded
from mtl_bench.datasets.cityscapes_labels import class_table
from mtl_bench.datasets.cityscapes_targets import Augmentation, Sample, make_sample
from mtl_bench.datasets.cityscapes_tasks import cityscapes_tasks
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

MAX_ANGLE = 10.0
"""Degrees of the random rotation, to either side."""


class Cityscapes:
    """Cityscapes with three tasks as Aligned-MTL (CVPR 2023) prepares it.

    Args:
        root: folder that has the unpacked packages ``leftImg8bit``, ``gtFine`` and ``disparity``.
        seed: seed of the order of the batches and of the augmentation.
        classes: 19, or 7 for their categories.
        train_size: frames to train on, the first by name; None for all.
        val_size: frames to evaluate on, the first by name; None for all.
        batch_size: frames in a training batch; an incomplete last one is dropped.
        evaluation_batch_size: frames in a batch of an evaluation; the last may be smaller.

    The official validation frames serve as the test split, as in the published code. No frames are
    held out for validation: the split ``validation`` has the same frames as ``test``. Targets are
    at a thirty-second of the frames' resolution and are never enlarged. Augmentation, for training
    only, is a rotation by up to 10° and a flip; it is a function of seed, epoch and frame, where
    the published code's can't be seeded.

    Raises:
        DataError: files are missing, cut short or of another format; there are too few frames.
    """

    name = "cityscapes"
    task_names = ("segmentation", "instance", "disparity")

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        classes: Literal[7, 19] = 19,
        train_size: PositiveInt | None = None,
        val_size: PositiveInt | None = None,
        batch_size: PositiveInt = 8,
        evaluation_batch_size: PositiveInt = 4,
    ) -> None:
        folder = Path(root)
        elsewhere = "" if folder.parent == Path("data") else f"paths.data={folder.parent}"
        sizes: dict[Part, int | None] = {"train": train_size, "val": val_size}
        self.frames = {
            part: list_frames(folder, part, elsewhere)[:size] for part, size in sizes.items()
        }
        for part, size in sizes.items():
            if len(self.frames[part]) < (size or 1):
                raise DataError(
                    f"{folder} has {len(self.frames[part])} frames in {part}, fewer than "
                    f"dataset.{part}_size={size}"
                )
        if len(self.frames["train"]) < batch_size:
            raise DataError(
                f"{folder} has {len(self.frames['train'])} frames in train, fewer than "
                f"dataset.batch_size={batch_size}"
            )
        used = [frame for frames in self.frames.values() for frame in frames]
        check_headers(used, elsewhere)
        self.seed = seed
        self.batch_size, self.evaluation_batch_size = batch_size, evaluation_batch_size
        self.tasks = cityscapes_tasks(classes)
        self.height, self.width = frame_size(used)
        self._classes_256 = class_table(classes)
        self.origin = _origin(folder, used)

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        return len(self.frames["train"]) // self.batch_size

    def train_batches(
        self, epoch: int, start: int = 0, workers: int = 0, pin: bool = False
    ) -> Iterator[ImageBatch]:
        """Yield the batches of an epoch from number ``start`` on.

        Order and augmentation are functions of seed, epoch and frame, so that there is no state to
        save, and any number of workers gives the same.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batches", epoch))
        order = torch.randperm(len(self.frames["train"]), generator=generator).tolist()
        batches = [
            order[first : first + self.batch_size]
            for first in range(0, self.steps_per_epoch * self.batch_size, self.batch_size)
        ]
        samples = _Samples(self.frames["train"], self._classes_256, (self.seed, epoch))
        return _load(samples, batches[start:], workers, pin)

    def evaluation_batches(
        self, split: Split, workers: int = 0, pin: bool = False
    ) -> Iterator[ImageBatch]:
        """Yield the batches of a split, without augmentation, in the order of the names."""
        frames = self.frames["train" if split == "train" else "val"]
        order = list(range(len(frames)))
        size = self.evaluation_batch_size
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        return _load(_Samples(frames, self._classes_256, None), batches, workers, pin)


def draw_augmentation(seed: int, epoch: int, index: int) -> Augmentation:
    """Return a uniform angle within `MAX_ANGLE` and a fair coin's flip for one frame."""
    generator = np.random.default_rng(derive_seed(seed, "augmentation", epoch, index))
    angle = generator.uniform(-MAX_ANGLE, MAX_ANGLE)
    return Augmentation(angle, bool(generator.random() < 0.5))


class _Samples(TorchDataset[Sample]):
    """Samples by number; with (seed, epoch) they are augmented."""

    def __init__(
        self, frames: list[Frame], classes_256: np.ndarray, seed_epoch: tuple[int, int] | None
    ) -> None:
        self.frames, self.classes_256, self.seed_epoch = frames, classes_256, seed_epoch

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        pixels = map_decoded(frame) if has_decoded(frame) else decode_frame(frame)
        augmentation = Augmentation()
        if self.seed_epoch is not None:
            augmentation = draw_augmentation(*self.seed_epoch, index)
        return make_sample(pixels, augmentation, self.classes_256)


def _load(
    samples: _Samples, batches: list[list[int]], workers: int, pin: bool
) -> Iterator[ImageBatch]:
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=_collate,
        num_workers=workers,
        pin_memory=pin,
        generator=torch.Generator(),  # else the loader draws its seed from the global one
    )
    try:
        yield from loader
    except DataError as error:  # from a worker it comes with a traceback in its text
        raise DataError(str(error).rpartition("DataError: ")[2].strip()) from None


def _collate(samples: list[Sample]) -> ImageBatch:
    return ImageBatch(
        torch.stack([sample.image_CPQ for sample in samples]),
        {
            "segmentation": torch.stack([sample.labels_hw for sample in samples]),
            "instance": torch.stack([sample.instance_2hw for sample in samples]),
            "disparity": torch.stack([sample.disparity_1hw for sample in samples]),
        },
    )


def _origin(folder: Path, frames: list[Frame]) -> dict[str, str]:
    manifest = folder / PROCEDURAL
    if not manifest.exists():
        return {"kind": "real", "source": "cityscapes", "manifest": digest(frames)}
    source = json.loads(manifest.read_text(encoding="utf-8"))["source"]
    return {"kind": "procedural", "source": source, "manifest": digest(frames)}
