"""The Cityscapes benchmark: segmentation, instances and disparity of street scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.cityscapes.files import (
    KINDS,
    Frame,
    Part,
    check_headers,
    describe_origin,
    list_frames,
)
from mtl_bench.datasets.cityscapes.frames import read_frame
from mtl_bench.datasets.cityscapes.labels import class_table
from mtl_bench.datasets.cityscapes.targets import MEANS, RotationAndFlip, make_sample
from mtl_bench.datasets.cityscapes.tasks import IGNORE, cityscapes_tasks
from mtl_bench.datasets.images import ImageBatch, spread
from mtl_bench.datasets.loading import load_batches
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

MAX_ANGLE = 10.0
"""Degrees of the random rotation, to either side."""


class Cityscapes:
    """Cityscapes with three tasks as Aligned-MTL (CVPR 2023) prepares it.

    The official validation frames serve as the test split, as in the published code, which holds
    out no frames for validation. With ``holdout=0`` this is followed, and only selection rules that
    look at no metric (``last`` and ``last_k_mean``) can be used. Targets are at a thirty-second of
    the frames' resolution and are never enlarged. Augmentation is a function of seed, epoch and
    frame; that of the published code can't be seeded.

    Args:
        root: folder that has the unpacked packages ``leftImg8bit``, ``gtFine`` and ``disparity``.
        seed: seed of the order of the batches, of the augmentation and of the held-out frames.
        classes: 19, or 7 for their categories.
        train_size: frames to train on, evenly spaced over those not held out; None for all.
        test_size: frames to test on, evenly spaced over the folder val; None for all.
        holdout: frames of the folder train that validate.
        batch_size: frames in a training batch; an incomplete last one is dropped.
        eval_batch_size: frames in a batch of an evaluation; the last may be smaller.
        augment: rotate training frames by up to 10° to either side and flip every other one.

    Raises:
        DataError: files are missing, cut short or of another format; there are too few frames.
    """

    __module__ = "mtl_bench.datasets.cityscapes"  # the path that configurations name

    name = "cityscapes"
    invalid: ClassVar[dict[str, float]] = {
        "segmentation": IGNORE,
        "instance": IGNORE,
        "disparity": 0.0,
    }
    """Task -> the value of pixels without a label."""
    task_names = ("segmentation", "instance", "disparity")

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        classes: Literal[7, 19] = 19,
        train_size: PositiveInt | None = None,
        test_size: PositiveInt | None = None,
        holdout: NonNegativeInt = 0,
        batch_size: PositiveInt = 8,
        eval_batch_size: PositiveInt = 4,
        augment: bool = True,
    ) -> None:
        folder = Path(root)
        parts: dict[Part, list[Frame]] = {
            "train": list_frames(folder, "train"),
            "val": list_frames(folder, "val"),
        }
        generator = np.random.default_rng(derive_seed(seed, "split"))
        shuffled = generator.permutation(len(parts["train"])).tolist()
        held_out = [parts["train"][index] for index in sorted(shuffled[:holdout])]
        left = [parts["train"][index] for index in sorted(shuffled[holdout:])]
        images = folder / KINDS["image"].package
        train = spread(len(left), train_size, "train_size", images / "train", holdout)
        test = spread(len(parts["val"]), test_size, "test_size", images / "val")
        self.splits: dict[Split, list[Frame]] = {
            "train": [left[index] for index in train],
            "test": [parts["val"][index] for index in test],
        }
        self.has_validation = holdout > 0
        if self.has_validation:
            self.splits["validation"] = held_out
        self.seed, self.augment = seed, augment
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        if not self.steps_per_epoch:
            raise DataError(
                f"{folder}: {len(self.splits['train'])} frames are left to train on, fewer than "
                f"dataset.batch_size={batch_size}"
            )
        used = dict.fromkeys(frame for frames in self.splits.values() for frame in frames)
        self.height, self.width = check_headers(list(used))
        self.tasks = cityscapes_tasks(classes)
        self.origin = describe_origin(folder, used)
        self._classes_256 = class_table(classes)

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        return len(self.splits["train"]) // self.batch_size

    def train_batches(
        self,
        epoch: int,
        start: int = 0,
        workers: int = 0,
        pin: bool = False,
        numbers: Iterable[int] | None = None,
    ) -> Iterator[ImageBatch]:
        """Yield the batches of an epoch from number ``start`` on, or those of ``numbers``.

        Order and augmentation are functions of seed, epoch and frame, whoever prepares the batches,
        so that there is no state to save.
        """
        frames, size = self.splits["train"], self.batch_size
        source = _Frames(frames, self._classes_256, (self.seed, epoch) if self.augment else None)
        return load_batches(source, self._order(epoch), size, workers, pin, start, numbers)

    def sample_names(self, epoch: int, batch: int) -> list[str]:
        """Return the names of a batch's frames, ``train/CITY/CITY_SEQUENCE_FRAME``."""
        first = batch * self.batch_size
        frames = self.splits["train"]
        chosen = self._order(epoch)[first : first + self.batch_size]
        return [f"{frames[index].part}/{frames[index].name}" for index in chosen]

    def evaluation_batches(
        self, split: Split, workers: int = 0, pin: bool = False
    ) -> Iterator[ImageBatch]:
        """Yield the batches of a split, without augmentation, in the order of the names."""
        frames = self.splits[split]
        source = _Frames(frames, self._classes_256)
        return load_batches(source, np.arange(len(frames)), self.eval_batch_size, workers, pin)

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng(derive_seed(self.seed, "batches", epoch))
        order = generator.permutation(len(self.splits["train"]))
        return order[: self.steps_per_epoch * self.batch_size]

    @staticmethod
    def to_rgb(image_CHW: Tensor) -> np.ndarray:
        """Return a network input, BGR without its means, as a picture, (H, W, 3) in [0, 1]."""
        bgr_HWC = image_CHW.permute(1, 2, 0).numpy() + np.asarray(MEANS, np.float32) / 255
        return np.clip(bgr_HWC[..., ::-1], 0, 1)


def draw_augmentation(seed: int, epoch: int, name: str) -> RotationAndFlip:
    """Return a uniform angle within `MAX_ANGLE` and a fair coin's flip for the frame ``name``."""
    generator = np.random.default_rng(derive_seed(seed, "augmentation", epoch, name))
    angle = generator.uniform(-MAX_ANGLE, MAX_ANGLE)
    return RotationAndFlip(angle, bool(generator.random() < 0.5))


@dataclass(frozen=True)
class _Frames:
    """Batches of frames by their numbers; with (seed, epoch) they are augmented."""

    frames: list[Frame]
    classes_256: np.ndarray
    pass_over: tuple[int, int] | None = None

    def __getitems__(self, indices: np.ndarray) -> ImageBatch:
        samples = [self._sample(self.frames[index]) for index in indices]
        images, labels, instances, disparities = (
            torch.stack(parts) for parts in zip(*samples, strict=True)
        )
        targets = {"segmentation": labels, "instance": instances, "disparity": disparities}
        return ImageBatch(images, targets)

    def _sample(self, frame: Frame) -> tuple[torch.Tensor, ...]:
        augmentation = RotationAndFlip()
        if self.pass_over is not None:
            augmentation = draw_augmentation(*self.pass_over, frame.name)
        return make_sample(read_frame(frame), augmentation, self.classes_256)
