"""The NYU-v2 benchmark: 13-class segmentation, depth and surface normals of indoor scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from mtl_bench.advice import data_command
from mtl_bench.datasets.base import Split
from mtl_bench.datasets.images import ImageBatch, spread
from mtl_bench.datasets.numbered import NumberedSamples
from mtl_bench.datasets.nyuv2.frames import Frames
from mtl_bench.datasets.nyuv2.layout import FOLDERS, Scan, require, scan
from mtl_bench.datasets.nyuv2.tasks import IGNORE, nyuv2_tasks
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt


class NYUv2(NumberedSamples[ImageBatch]):
    """NYU-v2 in MTAN's layout, real or procedural.

    The field trains on the folder train, reports on the folder val, and has no validation set.
    With ``holdout=0`` this is followed, and epochs are reported by a rule that looks at no metric
    (``last`` or ``last_k_mean``). With ``holdout`` frames of the training folder held out, chosen
    by the seed, ``best_val`` can be used and training has less data.

    Args:
        root: folder with the npy files; see data/README.md.
        seed: seed of the order of batches, of the augmentation and of the held-out frames.
        train_size: frames to train on, evenly spaced over those not held out; None for all.
        test_size: frames to test on, evenly spaced over the folder val; None for all.
        holdout: frames of the training folder that validate.
        batch_size: frames in a training batch.
        eval_batch_size: frames in a batch of an evaluation; it matters to ``metric_average``.
        drop_last: leave out an epoch's last batch if it is smaller (Aligned-MTL) or not (Nash-MTL).
        augment: scale, crop and flip training frames at random.
        metric_average: ``"batch"``: depth and normal metrics are means over evaluation batches
            (MTAN, CAGrad, Nash-MTL with batches of 2); ``"pixel"``: over all pixels (Aligned-MTL).

    Raises:
        DataError: no data, files that are missing, cut off or misshapen, or too few frames.
    """

    __module__ = "mtl_bench.datasets.nyuv2"  # the path that configurations name

    store: Frames

    name = "nyuv2"
    task_names = ("segmentation", "depth", "normal")
    invalid: ClassVar[dict[str, float]] = {"segmentation": IGNORE, "depth": 0.0, "normal": 0.0}
    """Task -> the value of pixels without a label."""

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        train_size: PositiveInt | None = None,
        test_size: PositiveInt | None = None,
        holdout: NonNegativeInt = 0,
        batch_size: PositiveInt = 2,
        eval_batch_size: PositiveInt = 2,
        drop_last: bool = False,
        augment: bool = True,
        metric_average: Literal["batch", "pixel"] = "batch",
    ) -> None:
        self.root = Path(root)
        self.augment = augment
        found = _scan(self.root)
        manifest = found.manifest or {"kind": "real", "source": "npy files without a manifest"}
        self.origin = {
            "kind": manifest["kind"],
            "source": manifest["source"],
            "manifest": found.digest,
        }
        self.height, self.width = found.height, found.width
        self.tasks = nyuv2_tasks(metric_average)
        shuffled = np.random.default_rng(derive_seed(seed, "split")).permutation(
            found.counts["train"]
        )
        left = np.sort(shuffled[holdout:])
        train = spread(len(left), train_size, "train_size", self.root / "train", holdout)
        test = spread(found.counts["val"], test_size, "test_size", self.root / "val")
        splits: dict[Split, np.ndarray] = {
            "train": left[train],
            "test": found.counts["train"] + test,
        }
        if holdout:
            splits["validation"] = np.sort(shuffled[:holdout])
        frames = [(folder, index) for folder in FOLDERS for index in range(found.counts[folder])]
        store = Frames(self.root, frames)
        super().__init__(store, splits, seed, batch_size, eval_batch_size, drop_last)

    def training_store(self, epoch: int) -> Frames:
        """Return the frames as an epoch sees them."""
        return replace(self.store, pass_over=(self.seed, epoch)) if self.augment else self.store

    def name_of(self, number: int) -> str:
        """Return a frame's folder and its number there."""
        return "{}/{}".format(*self.store.frames[number])

    @staticmethod
    def to_rgb(image_CHW: Tensor) -> np.ndarray:
        """Return a network input as a picture, (H, W, 3) in [0, 1]."""
        return image_CHW.permute(1, 2, 0).clamp(0, 1).numpy()


def _scan(root: Path) -> Scan:
    require(root)
    found = scan(root)
    if found.faults:
        more = len(found.faults) - 1
        raise DataError(
            found.faults[0]
            + f" (and {more} more: `{data_command('verify', 'nyuv2', root)}`)" * (more > 0)
        )
    return found
