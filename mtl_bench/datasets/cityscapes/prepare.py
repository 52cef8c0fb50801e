"""What ``mtl-bench data`` does for Cityscapes: check it, decode it, make it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.cityscapes.files import (
    KINDS,
    PARTS,
    Frame,
    check_headers,
    find_pngs,
    frame_size,
    header_faults,
    list_frames,
    read_procedural,
)
from mtl_bench.datasets.cityscapes.frames import (
    BYTES_A_PIXEL,
    has_decoded,
    is_copy,
    read_png,
    renew_decoded,
)
from mtl_bench.datasets.cityscapes.labels import (
    FIRST_THING,
    GROUP_DIGITS,
    HIGHEST_LABEL,
    VOID,
    class_table,
)
from mtl_bench.datasets.procedural.streets.synth import synth
from mtl_bench.datasets.store.preparation import NO_DISPARITY, NO_LABEL, map_parallel, report_doubts
from mtl_bench.errors import DataError, warn
from mtl_bench.values import PositiveInt

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

PROGRESS = 200
"""Frames between two lines of progress."""


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
    58 GB in all) load about three times as fast. Only copies that are missing, older than their PNG
    files or unlike them are written; an interrupted preparation keeps what it wrote.

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
    height, width = check_headers(frames)
    report(f"{folder}: {len(frames)} frames of {width} x {height} pixels, all files are there")
    gigabytes = BYTES_A_PIXEL * height * width * len(frames) / 1e9
    if not decoded:
        report(f"decoded=true adds decoded copies ({gigabytes:.1f} GB) that load faster")
        return
    report(f"decoding {len(frames)} frames; all copies take {gigabytes:.1f} GB")
    written = 0
    for done, new in enumerate(map_parallel(renew_decoded, frames, jobs), start=1):
        written += new
        if done % PROGRESS == 0 or done == len(frames):
            report(f"{done} of {len(frames)} frames, {written} copies written")


def require(folder: Path) -> None:
    """Check that there are images to train on."""
    list_frames(folder, "train")


def verify(
    folder: Path, jobs: PositiveInt | None = None, *, report: Callable[[str], None] = warn
) -> list[str]:
    """Check the unpacked packages thoroughly: all files are there, decode, and hold labels.

    Args:
        folder: where the packages were unpacked.
        jobs: processes; default the usable cores.
        report: gets a line about what is odd and can be right.

    Returns:
        One line per fault; empty means that the data set is complete and intact.
    """
    try:
        frames = _all_frames(folder)
        size = frame_size(frames)
    except DataError as error:
        return [str(error)]
    faults, doubts = list[str](), dict[str, list[str]]()
    found = map_parallel(partial(_check_frame, size=size), frames, jobs)
    for frame, (wrong, odd) in zip(frames, found, strict=True):
        faults += wrong
        for doubt in odd:
            doubts.setdefault(doubt, []).append(f"{frame.part}/{frame.name}")
    report_doubts(folder, doubts, report)
    return faults + list(_unpaired(folder, frames))


def remedy(folder: Path) -> str:
    """Return how to get files that have faults again."""
    facts = read_procedural(folder)
    if facts is None:
        return "unpack each PNG file that is named again, from its package"
    sizes = {key: facts.get(key) for key in ("height", "width", "seed")}
    again = data_command("synth", "cityscapes", folder, **facts.get("frames", {}), **sizes)
    return f"move {folder} away and run `{again}`"


def _all_frames(folder: Path) -> list[Frame]:
    return [frame for part in PARTS for frame in list_frames(folder, part)]


def _check_frame(frame: Frame, size: tuple[int, int]) -> tuple[list[str], list[str]]:
    """Return faults and doubts of a frame; pixels are looked at when the headers are right."""
    faults = list(header_faults([frame], size))
    if faults:
        return faults, []
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
    if not faults and has_decoded(frame) and not is_copy(frame):
        again = data_command("prepare", "cityscapes", frame.folder, decoded=True)
        faults.append(
            f"{frame.decoded}: is not the copy of the PNG files: remove it, or write it anew with "
            f"`{again}`"
        )
    return faults, [] if faults else list(_doubts(planes))


def _doubts(planes: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield what is odd about the pixels of a frame."""
    if (class_table(19)[planes["labels"]] == VOID).all():
        yield NO_LABEL
    if not planes["disparity"].any():
        yield NO_DISPARITY


def _unpaired(folder: Path, frames: list[Frame]) -> Iterator[str]:
    """Yield files of the other packages that have no image."""
    for kind, (package, ending, *_) in KINDS.items():
        for part in PARTS:
            expected = {frame.path(kind) for frame in frames if frame.part == part}
            for path in find_pngs(folder / package / part, ending):
                if path not in expected:
                    yield f"{path}: has no image in {KINDS['image'].package}"
