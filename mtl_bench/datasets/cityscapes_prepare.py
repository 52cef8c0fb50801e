"""What ``mtl-bench data`` does for Cityscapes: check it, decode it, make it up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from mtl_bench.datasets.cityscapes_files import (
    KINDS,
    PARTS,
    Frame,
    check_headers,
    frame_size,
    header_faults,
    list_frames,
)
from mtl_bench.datasets.cityscapes_frames import (
    BYTES_A_PIXEL,
    has_decoded,
    map_decoded,
    read_png,
    write_decoded,
)
from mtl_bench.datasets.cityscapes_labels import FIRST_THING, GROUP_DIGITS, HIGHEST_LABEL
from mtl_bench.datasets.streets import synth
from mtl_bench.errors import DataError
from mtl_bench.values import PositiveInt

__all__ = ["prepare", "synth", "verify"]


def prepare(
    folder: Path,
    decoded: bool = False,
    jobs: PositiveInt | None = None,
    *,
    report: Callable[[str], None] = print,
) -> None:
    """Check the unpacked packages, and on request decode them once and for all.

    Training reads the PNG files directly; nothing has to be prepared. Decoding them takes most of
    the time of loading a frame, so that decoded copies (16.8 MB for each of the official frames,
    58 GB in all) load about three times as fast. Only copies that are missing or
    older than their PNG files are written; an interrupted preparation goes on where it stopped.

    Args:
        folder: where the packages were unpacked.
        decoded: write decoded copies.
        jobs: processes; default the usable cores.
        report: gets a few lines of progress.

    Raises:
        DataError: a file is missing or can't be read.
        MtlBenchError: the disk is full or can't be written.
    """
    frames = _all_frames(folder)
    check_headers(frames)
    height, width = frame_size(frames)
    report(f"{folder}: {len(frames)} frames of {width} x {height} pixels, all files are there")
    gigabytes = BYTES_A_PIXEL * height * width * len(frames) / 1e9
    if not decoded:
        report(f"decoded=true adds decoded copies ({gigabytes:.1f} GB) that load faster")
        return
    missing = [frame for frame in frames if not has_decoded(frame)]
    report(f"decoding {len(missing)} frames; all copies take {gigabytes:.1f} GB")
    for _ in in_parallel(write_decoded, missing, jobs):
        pass


def verify(folder: Path, jobs: PositiveInt | None = None) -> list[str]:
    """Check the unpacked packages thoroughly: all files are there, decode, and hold labels.

    Args:
        folder: where the packages were unpacked.
        jobs: processes; default the usable cores.

    Returns:
        One line per fault; empty means that the data set is complete and intact.
    """
    faults = []
    try:
        frames = _all_frames(folder)
        size = frame_size(frames)
    except DataError as error:
        return [str(error)]
    for of_frame in in_parallel(partial(_frame_faults, size=size), frames, jobs):
        faults.extend(of_frame)
    faults.extend(_unpaired(folder, frames))
    return faults


def in_parallel[Item, Result](
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None
) -> Iterator[Result]:
    """Yield the function's results in order, computed in processes."""
    with ProcessPoolExecutor(jobs or len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(function, items, chunksize=4)


def _all_frames(folder: Path) -> list[Frame]:
    return [frame for part in PARTS for frame in list_frames(folder, part)]


def _frame_faults(frame: Frame, size: tuple[int, int]) -> list[str]:
    """Return the faults of a frame's files; pixels are looked at when the headers are right."""
    faults = list(header_faults([frame], size))
    if faults:
        return faults
    planes = {}
    for kind in KINDS:
        try:
            planes[kind] = read_png(frame, kind)
        except DataError as error:
            faults.append(str(error))
    if "labels" in planes and (highest := int(planes["labels"].max())) > HIGHEST_LABEL:
        faults.append(f"{frame.path('labels')}: label {highest}, the highest is {HIGHEST_LABEL}")
    if "instances" in planes:
        path, numbers = frame.path("instances"), np.unique(planes["instances"])
        labels = np.where(numbers < GROUP_DIGITS, numbers, numbers // GROUP_DIGITS)
        counted = numbers >= GROUP_DIGITS
        wrong = numbers[(labels > HIGHEST_LABEL) | (counted & (labels < FIRST_THING))]
        if len(wrong):
            faults.append(f"{path}: {wrong[0]} is no instance number")
    if not faults and frame.decoded.exists():
        faults.extend(_decoded_faults(frame, planes))
    return faults


def _decoded_faults(frame: Frame, planes: dict[str, np.ndarray]) -> Iterator[str]:
    try:
        copy = map_decoded(frame)
    except DataError as error:
        yield str(error)
        return
    pairs = {
        "image": copy.image_HWC,
        "labels": copy.labels_HW,
        "disparity": copy.disparity_HW,
    }
    if not all(np.array_equal(plane, planes[kind]) for kind, plane in pairs.items()):
        yield f"{frame.decoded}: is not the copy of the PNG files: remove it"


def _unpaired(folder: Path, frames: list[Frame]) -> Iterator[str]:
    """Yield files of the other packages that have no image."""
    for kind, (package, ending, *_) in KINDS.items():
        for part in PARTS:
            expected = {frame.path(kind) for frame in frames if frame.part == part}
            for path in sorted((folder / package / part).glob(f"*/*_{ending}.png")):
                if path not in expected:
                    yield f"{path}: has no image in {KINDS['image'].package}"
