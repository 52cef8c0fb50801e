"""From a frame's pixels to network inputs and targets, as the Aligned-MTL code makes them.

There, everything is rotated and flipped at full resolution, instance offsets are computed for all
two million pixels, and then all is resized. Here the same numbers are computed only where the
resized arrays look: four pixels in sixteen of the image, one in 1024 of the targets. The one thing
that needs all pixels is where the instances' centres are.

Legend of shape suffixes: H rows, W columns of the full resolution; P = H / 4, Q = W / 4 of the
network's input; h = H / 32, w = W / 32 of the targets; C = 3 channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl_bench.datasets.cityscapes.files import STRIDE
from mtl_bench.datasets.cityscapes.frames import Pixels
from mtl_bench.datasets.cityscapes.labels import VOID

SHRINK = 4
"""Pixels of a frame from one pixel of the network's input to the next."""

MEANS = (123.675, 116.28, 103.53)
"""Subtracted from blue, green and red. They are ImageNet's means of red, green and blue: the
published code turns the channels round and not the means."""

DISPARITY_UNIT = 2729.0680031169923
"""Stored disparities are divided by this, a constant of the published code. 0 stays 0 and invalid;
1, an infinite distance, is a disparity like any other."""


class RotationAndFlip(NamedTuple):
    """Counter-clockwise rotation in degrees about the middle, then perhaps a horizontal flip."""

    angle: float = 0.0
    flip: bool = False


class FrameSample(NamedTuple):
    """One frame as the network sees it.

    Args:
        image_CPQ: float32, channels blue, green, red.
        labels_hw: int64 classes, `VOID` where none counts.
        instance_2hw: float32 offsets (row, column) from the centre of the pixel's instance, in
            pixels of the full resolution; `VOID` where there is no instance.
        disparity_1hw: float32, 0 where invalid.
    """

    image_CPQ: Tensor
    labels_hw: Tensor
    instance_2hw: Tensor
    disparity_1hw: Tensor


def make_sample(
    pixels: Pixels, augmentation: RotationAndFlip, classes_256: np.ndarray
) -> FrameSample:
    """Augment and resize a frame.

    Args:
        pixels: the frame.
        augmentation: what to do to it.
        classes_256: label -> class, of `class_table`.
    """
    height, width = pixels.labels_HW.shape
    rows_h, columns_w = np.arange(0, height, STRIDE), np.arange(0, width, STRIDE)
    if augmentation.flip:
        columns_w = width - 1 - columns_w
    inside_hw, source_rows_hw, source_columns_hw = _sources(
        (height, width), augmentation.angle, rows_h, columns_w
    )

    def sampled(plane_HW: np.ndarray) -> np.ndarray:
        return np.where(inside_hw, plane_HW[source_rows_hw, source_columns_hw], 0)

    instances_hw = sampled(pixels.instances_HW)
    centres = _centres(_rotate(pixels.instances_HW, augmentation.angle), instances_hw)
    offsets_2hw = np.broadcast_arrays(rows_h[:, None], columns_w[None, :]) - centres
    if augmentation.flip:
        offsets_2hw[1] *= -1
    disparity_hw = sampled(pixels.disparity_HW) / DISPARITY_UNIT
    return FrameSample(
        torch.from_numpy(_input(pixels.image_HWC, augmentation)),
        torch.from_numpy(classes_256[sampled(pixels.labels_HW)].astype(np.int64)),
        torch.from_numpy(np.where(instances_hw > 0, offsets_2hw, VOID).astype(np.float32)),
        torch.from_numpy(disparity_hw[None].astype(np.float32)),
    )


def _sources(
    size: tuple[int, int], angle: float, rows_h: np.ndarray, columns_w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where pixels of a rotated plane come from, by the rule of Pillow's nearest filter.

    Pillow computes in fixed point with 16 binary digits after the point.

    Returns:
        Whether the source is inside the frame, its row and its column (0 where outside).
    """
    height, width = size
    a, b, c, d, e, f = (
        math.floor(65536 * value + 0.5) for value in _matrix(size, angle, scale=1, shift=(0, 0))
    )
    source_columns_hw = (a * columns_w[None, :] + b * rows_h[:, None] + c) >> 16
    source_rows_hw = (d * columns_w[None, :] + e * rows_h[:, None] + f) >> 16
    inside_hw = (
        (source_rows_hw >= 0)
        & (source_rows_hw < height)
        & (source_columns_hw >= 0)
        & (source_columns_hw < width)
    )
    return inside_hw, source_rows_hw * inside_hw, source_columns_hw * inside_hw


def _matrix(
    size: tuple[int, int], angle: float, scale: int, shift: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return (a, b, c, d, e, f): pixel (x, y) of the output comes from (ax + by + c, dx + ey + f).

    Output pixel (x, y) stands for the point ``scale * (x, y) + shift + (1/2, 1/2)`` of the rotated
    frame, which is the middle of a pixel there.
    """
    height, width = size
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = shift[0] + 0.5 - width / 2, shift[1] + 0.5 - height / 2
    return (
        scale * cosine,
        -scale * sine,
        cosine * x - sine * y + width / 2,
        scale * sine,
        scale * cosine,
        sine * x + cosine * y + height / 2,
    )


def _rotate(instances_HW: np.ndarray, angle: float) -> np.ndarray:
    """Return a rotated plane of instance numbers, 0 where the frame does not reach."""
    if angle == 0:
        return instances_HW
    from PIL import Image

    # 32 bits, since Pillow's filter for 16 bits rounds in another way
    return np.asarray(Image.fromarray(instances_HW.astype(np.int32)).rotate(angle))


def _centres(rotated_HW: np.ndarray, instances_hw: np.ndarray) -> np.ndarray:
    """Return (2, h, w): mean row and column of the instance at each pixel of the targets."""
    width = rotated_HW.shape[1]
    flat = np.flatnonzero(rotated_HW)
    numbers = rotated_HW.reshape(-1)[flat]
    most = int(instances_hw.max()) + 1
    counts = np.bincount(numbers, minlength=most)
    sums = [np.bincount(numbers, weights, most) for weights in divmod(flat, width)]
    with np.errstate(invalid="ignore"):  # numbers that no pixel has, 0 among them
        centres = np.stack(sums) / counts
    return centres[:, instances_hw]


def _input(image_HWC: np.ndarray, augmentation: RotationAndFlip) -> np.ndarray:
    """Return the network's input (C, P, Q).

    Resizing to a quarter with OpenCV's bilinear filter averages the middle four of each 4 x 4
    pixels.
    """
    pixels_4PQC = np.stack(_middle_pixels(image_HWC, augmentation.angle))
    total_PQC = pixels_4PQC.sum(axis=0, dtype=np.uint16)
    means_C = np.array(MEANS, np.float32)
    normalised_PQC = (total_PQC[..., ::-1] / np.float32(4) - means_C) / np.float32(255)
    if augmentation.flip:
        normalised_PQC = normalised_PQC[:, ::-1]
    return np.ascontiguousarray(normalised_PQC.transpose(2, 0, 1))


def _middle_pixels(image_HWC: np.ndarray, angle: float) -> list[np.ndarray]:
    """Return the rotated image at rows and columns 1 and 2 of each 4 x 4 pixels, four (P, Q, C)."""
    height, width, _ = image_HWC.shape
    middle = [(x, y) for y in (1, 2) for x in (1, 2)]
    if angle == 0:
        return [image_HWC[y::SHRINK, x::SHRINK] for x, y in middle]
    from PIL import Image

    image = Image.fromarray(image_HWC)
    size = (width // SHRINK, height // SHRINK)

    def rotated(shift: tuple[int, int]) -> np.ndarray:
        a, b, c, d, e, f = _matrix((height, width), angle, SHRINK, shift)
        # Pillow takes its matrix at the middle of the output's pixels
        matrix = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
        affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return np.asarray(image.transform(size, affine, matrix, bilinear))

    return [rotated(shift) for shift in middle]
