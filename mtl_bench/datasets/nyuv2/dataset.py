"""The NYU-v2 benchmark: 13-class segmentation, depth and surface normals of indoor scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from mtl_bench.advice import data_command
from mtl_bench.datasets.base import Split
from mtl_bench.datasets.images import ImageBatch, spread
from mtl_bench.datasets.loading import load_batches
from mtl_bench.datasets.nyuv2.frames import Frames
from mtl_bench.datasets.nyuv2.layout import Folder, Scan, require, scan
from mtl_bench.datasets.nyuv2.tasks import IGNORE, nyuv2_tasks
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt


class NYUv2:
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
        self.seed, self.batch_size, self.eval_batch_size = seed, batch_size, eval_batch_size
        self.drop_last, self.augment = drop_last, augment
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
        self.splits: dict[Split, tuple[Folder, np.ndarray]] = {
            "train": ("train", left[train]),
            "test": ("val", test),
        }
        self.has_validation = holdout > 0
        if self.has_validation:
            self.splits["validation"] = ("train", np.sort(shuffled[:holdout]))
        if not self.steps_per_epoch:
            raise DataError(
                f"{self.root}: {len(self.splits['train'][1])} frames are left to train on, too few "
                f"for one batch: lower dataset.holdout={holdout} or raise dataset.train_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of training batches in an epoch."""
        frames = len(self.splits["train"][1])
        return frames // self.batch_size if self.drop_last else -(-frames // self.batch_size)

    def train_batches(
        self,
        epoch: int,
        start: int = 0,
        workers: int = 0,
        pin: bool = False,
        numbers: Iterable[int] | None = None,
    ) -> Iterator[ImageBatch]:
        """Yield the batches of an epoch from number ``start`` on, or those of ``numbers``.

        Order and augmentation are functions of seed and epoch, whoever prepares the batches, so
        that there is no state to save.
        """
        frames, order = self.training_frames(epoch), self._order(epoch)
        return load_batches(frames, order, self.batch_size, workers, pin, start, numbers)

    def sample_names(self, epoch: int, batch: int) -> list[str]:
        """Return the names of a batch's frames, ``FOLDER/NUMBER``."""
        first = batch * self.batch_size
        chosen = self._order(epoch)[first : first + self.batch_size]
        return [f"{self.splits['train'][0]}/{frame}" for frame in chosen]

    def _order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng(derive_seed(self.seed, "batches", epoch))
        order = generator.permutation(self.splits["train"][1])
        return order[: self.steps_per_epoch * self.batch_size]

    def training_frames(self, epoch: int) -> Frames:
        """Return the training folder's frames as an epoch sees them."""
        pass_over = (self.seed, epoch) if self.augment else None
        return Frames(self.root, self.splits["train"][0], pass_over)

    def evaluation_batches(
        self, split: Split, workers: int = 0, pin: bool = False
    ) -> Iterator[ImageBatch]:
        """Yield the batches of a split in a fixed order, as they are on the disk."""
        folder, frames = self.splits[split]
        return load_batches(Frames(self.root, folder), frames, self.eval_batch_size, workers, pin)

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
