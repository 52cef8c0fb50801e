"""The Cityscapes benchmark: segmentation, instances and disparity of street scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from mtl_bench.datasets.numbered import NumberedSamples
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

MAX_ANGLE = 10.0
"""Degrees of the random rotation, to either side."""


@dataclass(frozen=True)
class _Frames:
    """Batches of frames by their numbers; with (seed, epoch) they are augmented."""

    frames: list[Frame]
    classes_256: np.ndarray
    pass_over: tuple[int, int] | None = None

    def __getitems__(self, numbers: np.ndarray) -> ImageBatch:
        samples = [self._sample(self.frames[number]) for number in numbers]
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


class Cityscapes(NumberedSamples[ImageBatch]):
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

    store: _Frames

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
        shuffled = generator.permutation(len(parts["train"]))
        left = np.sort(shuffled[holdout:])
        images = folder / KINDS["image"].package
        train = spread(len(left), train_size, "train_size", images / "train", holdout)
        test = spread(len(parts["val"]), test_size, "test_size", images / "val")
        splits: dict[Split, np.ndarray] = {
            "train": left[train],
            "test": len(parts["train"]) + test,
        }
        if holdout:
            splits["validation"] = np.sort(shuffled[:holdout])
        self.augment = augment
        store = _Frames([*parts["train"], *parts["val"]], class_table(classes))
        super().__init__(store, splits, seed, batch_size, eval_batch_size, drop_last=True)
        used = [store.frames[number] for numbers in splits.values() for number in numbers]
        self.height, self.width = check_headers(used)
        self.tasks = cityscapes_tasks(classes)
        self.origin = describe_origin(folder, used)

    def training_store(self, epoch: int) -> _Frames:
        """Return the frames as an epoch sees them."""
        return replace(self.store, pass_over=(self.seed, epoch)) if self.augment else self.store

    def name_of(self, number: int) -> str:
        """Return ``train/CITY/CITY_SEQUENCE_FRAME`` or the like."""
        frame = self.store.frames[number]
        return f"{frame.part}/{frame.name}"

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
