"""The pixels of a frame, decoded from its PNG files or mapped from a decoded copy.

Legend of shape suffixes: H rows, W columns of the full resolution, C = 3 channels (RGB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.cityscapes.files import KINDS, Frame, frame_size
from mtl_bench.datasets.cityscapes.labels import VOID, class_table, instance_table
from mtl_bench.datasets.store.npy import map_npy
from mtl_bench.errors import DataError
from mtl_bench.files import explain_write_errors, write_atomically

BYTES_A_PIXEL = 8

_IS_INSTANCE = instance_table()
_IS_VOID = class_table(19) == VOID


@dataclass(frozen=True)
class Pixels:
    """A frame at full resolution.

    Args:
        image_HWC: uint8 RGB.
        labels_HW: uint8 label numbers.
        instances_HW: uint16 instance numbers, 0 where there is no instance that counts.
        disparity_HW: uint16 as stored; 0 is invalid.
    """

    image_HWC: np.ndarray
    labels_HW: np.ndarray
    instances_HW: np.ndarray
    disparity_HW: np.ndarray


def read_png(frame: Frame, kind: str) -> np.ndarray:
    """Return the pixels of one of a frame's files.

    Raises:
        DataError: Pillow is missing, or the file can't be decoded.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Pillow is missing: pip install 'mtl_bench[vision]'") from error
    path = frame.path(kind)
    try:
        with Image.open(path) as image:
            image.verify()  # of the checksums, at which decoding does not look
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path} can't be decoded ({error}): unpack it again from {KINDS[kind].package}"
        ) from error


def read_frame(frame: Frame) -> Pixels:
    """Return a frame's pixels, from the decoded copy if there is one.

    Raises:
        DataError: a file can't be decoded.
    """
    return map_decoded(frame) if has_decoded(frame) else decode_frame(frame)


def decode_frame(frame: Frame) -> Pixels:
    """Return a frame's pixels from its PNG files.

    Instances are those of the Aligned-MTL code: every number but those of stuff (labels below 24)
    and of pixels whose class is void. Groups, whose number is a plain label, count as one instance.
    """
    labels_HW, raw_HW = read_png(frame, "labels"), read_png(frame, "instances")
    counts_HW = _IS_INSTANCE[raw_HW] & ~_IS_VOID[labels_HW]
    return Pixels(
        read_png(frame, "image"),
        labels_HW,
        np.where(counts_HW, raw_HW, np.uint16(0)),
        read_png(frame, "disparity"),
    )


def has_decoded(frame: Frame) -> bool:
    """Return whether the decoded copy is there and not older than any of the PNG files."""
    try:
        made = frame.decoded.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    return all(frame.path(kind).stat().st_mtime_ns <= made for kind in KINDS)


def is_copy(frame: Frame) -> bool:
    """Return whether the decoded copy holds the pixels of the PNG files, every one compared."""
    try:
        copy = vars(map_decoded(frame))
    except DataError:
        return False
    return all(np.array_equal(copy[name], a) for name, a in vars(decode_frame(frame)).items())


def renew_decoded(frame: Frame) -> bool:
    """Write the decoded copy of a frame, whole or not at all, unless a right one is there.

    Returns:
        Whether it was written.
    """
    if has_decoded(frame) and is_copy(frame):
        return False
    pixels = decode_frame(frame)
    planes = (pixels.image_HWC, pixels.labels_HW, pixels.instances_HW, pixels.disparity_HW)
    shape = (*pixels.labels_HW.shape, BYTES_A_PIXEL)
    joined_HWB = np.concatenate([plane.reshape(-1).view(np.uint8) for plane in planes])
    with explain_write_errors(frame.decoded):
        frame.decoded.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(frame.decoded, lambda stream: np.save(stream, joined_HWB.reshape(shape)))
    return True


def map_decoded(frame: Frame) -> Pixels:
    """Return a frame's pixels from its decoded copy, mapped from the disk.

    Raises:
        DataError: the copy is no array of the size of the frame's image.
    """
    try:
        joined_HWB = map_npy(frame.decoded)
        wanted = (*frame_size([frame]), BYTES_A_PIXEL)
        if joined_HWB.shape != wanted or joined_HWB.dtype != np.uint8:
            raise ValueError(f"shape {joined_HWB.shape} of {joined_HWB.dtype}, not {wanted}")
    except (OSError, ValueError) as error:
        prepare = data_command("prepare", "cityscapes", frame.folder, decoded=True)
        raise DataError(
            f"{frame.decoded} is damaged ({error}): remove it, or write it anew with `{prepare}`"
        ) from error
    height, width, _ = joined_HWB.shape
    begin, shape = 0, (height, width)

    def plane(channels: int, kind: type[np.generic]) -> np.ndarray:
        nonlocal begin
        size = height * width * channels * np.dtype(kind).itemsize
        begin += size
        return joined_HWB.reshape(-1)[begin - size : begin].view(kind)

    return Pixels(
        plane(3, np.uint8).reshape(*shape, 3),
        plane(1, np.uint8).reshape(shape),
        plane(1, np.uint16).reshape(shape),
        plane(1, np.uint16).reshape(shape),
    )
