"""Random scaling, cropping and flipping of NYU-v2's frames, as all published code bases do it.

A frame is a mapping of its parts to tensors (C, H, W), one channel for label and depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

SCALES = (1.0, 1.2, 1.5)
SMOOTH = ("image", "normal")
"""Parts that are resized with bilinear interpolation; the others take the nearest pixel."""


@dataclass(frozen=True)
class Augmentation:
    """One draw.

    Args:
        scale: how much larger things become.
        top: first row of the crop.
        left: first column of the crop.
        flip: whether left and right change places afterwards.
    """

    scale: float
    top: int
    left: int
    flip: bool


def crop_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return rows and columns of the crop that is enlarged to (height, width)."""
    return int(height / scale), int(width / scale)


def draw(generator: np.random.Generator, height: int, width: int) -> Augmentation:
    """Draw a scale, a place that is uniform over all that fit, and a flip with probability 1/2."""
    scale = SCALES[generator.integers(len(SCALES))]
    rows, columns = crop_size(height, width, scale)
    return Augmentation(
        scale=scale,
        top=int(generator.integers(height - rows + 1)),
        left=int(generator.integers(width - columns + 1)),
        flip=bool(generator.integers(2)),
    )


def augment(frame: Mapping[str, Tensor], chosen: Augmentation) -> dict[str, Tensor]:
    """Return an augmented frame of the same size.

    Crops, enlarges the crop to the frame's size (corners aligned where it is bilinear), divides
    depth by the scale, since what looks larger is nearer, and negates the x component of normals
    where it flips. Normals are not brought back to unit length after the interpolation.
    """
    height, width = frame["image"].shape[1:]
    rows, columns = crop_size(height, width, chosen.scale)
    result = {}
    for part, values_CHW in frame.items():
        crop = values_CHW[
            None, :, chosen.top : chosen.top + rows, chosen.left : chosen.left + columns
        ]
        smooth = part in SMOOTH
        enlarged_CHW = functional.interpolate(
            crop,
            size=(height, width),
            mode="bilinear" if smooth else "nearest",
            align_corners=True if smooth else None,
        )[0]
        result[part] = enlarged_CHW.flip(2) if chosen.flip else enlarged_CHW
    result["depth"] = result["depth"] / chosen.scale
    if chosen.flip:
        result["normal"][0].neg_()
    return result
