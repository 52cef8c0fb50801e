"""Frames of NYU-v2 from the disk, checked, augmented and stacked to batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mtl_bench.advice import data_command
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.datasets.nyuv2.augment import augment, draw
from mtl_bench.datasets.nyuv2.layout import (
    PARTS,
    TOLERATED,
    Folder,
    describe_frame,
    frame_path,
    value_faults,
)
from mtl_bench.datasets.store.npy import map_npy
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed


@dataclass(frozen=True)
class Frames:
    """Batches of frames by their numbers; torch's loader calls ``__getitems__`` in any process.

    Args:
        root: the data set.
        frames: folder and index of each number's frame.
        pass_over: seed and epoch of a training pass, whose frames are augmented; None to leave
            frames as they are. The draw is a function of seed, epoch and index of the frame alone.
    """

    root: Path
    frames: Sequence[tuple[Folder, int]]
    pass_over: tuple[int, int] | None = None

    def __getitems__(self, numbers: np.ndarray) -> ImageBatch:
        """Return the batch of these frames."""
        frames = [self.frame(number) for number in numbers]
        stacked = {part: torch.stack([frame[part] for frame in frames]) for part in PARTS}
        return ImageBatch(
            images_BCHW=stacked["image"],
            targets={
                "segmentation": stacked["label"][:, 0].long(),
                "depth": stacked["depth"],
                "normal": stacked["normal"],
            },
        )

    def frame(self, number: int) -> dict[str, Tensor]:
        """Return the parts of a frame as float32 tensors (C, H, W).

        Raises:
            DataError: a file is gone, or its values are not what they have to be.
        """
        folder, index = self.frames[number]
        frame = {
            part: read_part(frame_path(self.root, folder, part, index), part) for part in PARTS
        }
        if self.pass_over is None:
            return frame
        generator = np.random.default_rng(
            derive_seed(self.pass_over[0], "augmentation", self.pass_over[1], index)
        )
        return augment(frame, draw(generator, *frame["image"].shape[1:]))


def read_part(path: Path, part: str) -> Tensor:
    """Return one file as a float32 tensor (C, H, W).

    Raises:
        DataError: it can't be read, or its values are not what they have to be.
    """
    try:
        values = map_npy(path).astype(np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{describe_frame(path)}: {error}") from error
    for fault in value_faults(part, values, TOLERATED):
        verify = data_command("verify", "nyuv2", path.parents[2])
        raise DataError(f"{describe_frame(path)}: {fault} (`{verify}` finds all faults)")
    values_HWC = values.reshape(*values.shape[:2], -1)
    return torch.from_numpy(np.ascontiguousarray(values_HWC.transpose(2, 0, 1)))
