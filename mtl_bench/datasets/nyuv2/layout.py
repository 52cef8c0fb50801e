"""The npy layout of NYU-v2 that MTAN introduced: what lies where, and what can be wrong with it.

A data set is a folder ROOT with ROOT/{train,val}/{image,label,depth,normal}/{i}.npy, i = 0, 1, …,
any floating type, channels last. Legend of shape suffixes: H rows, W columns, C channels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.store.cache import MANIFEST
from mtl_bench.datasets.store.npy import Header, read_header
from mtl_bench.datasets.store.preparation import MILLIMETRES, NO_DEPTH, NO_LABEL, NO_NORMAL
from mtl_bench.errors import DataError
from mtl_bench.files import is_clutter, parse_json

Folder = Literal["train", "val"]
FOLDERS: tuple[Folder, ...] = ("train", "val")
PARTS: dict[str, tuple[int, ...]] = {"image": (3,), "label": (), "depth": (1,), "normal": (3,)}
"""Part of a frame -> the shape that follows (H, W)."""

CLASSES = 13
FARTHEST = 100.0
"""Metres that half of a room's depths never exceed; as millimetres, nearly all of them do."""
IMAGE_SLACK = 1e-3
"""How far rounding may take an image's values out of [0, 1]."""
NORMAL_SLACK = 0.1
"""How far the length of a normal may be from 1."""
TOLERATED = 0.01
"""Share of pixels of a frame whose normals may have an odd length; `verify` tolerates none."""


def frame_path(root: Path, folder: Folder, part: str, index: int) -> Path:
    """Return the file of one part of one frame."""
    return root / folder / part / f"{index}.npy"


def how_to_get(root: Path) -> str:
    """Return the commands that fill a folder with a data set."""
    return (
        f"run `{data_command('synth', 'nyuv2', root)}` for procedural rooms or "
        f"`{data_command('prepare', 'nyuv2', root, mat='FILE')}` for the real data "
        "(data/README.md)"
    )


def require(root: Path) -> None:
    """Check that there is a folder of the data set.

    Raises:
        DataError: there is none; the line says how to get it.
    """
    if not root.is_dir():
        raise DataError(f"data set nyuv2 is not in {root}: {how_to_get(root)}")


def describe_frame(path: Path) -> str:
    """Return a file with its frame's number and folder, as messages begin."""
    return f"{path} (frame {path.stem} of {path.parents[1].name})"


@dataclass
class Scan:
    """What the names, sizes and headers of a data set's files say; no values are read.

    Args:
        counts: frames of each folder.
        height: H of all frames.
        width: W of all frames.
        manifest: what this program wrote beside the frames; None for files from elsewhere.
        digest: SHA-256 of the manifest, which holds hashes of all content. Without a manifest, of
            the names, shapes, types and sizes of all files, which is no proof of their content.
        faults: one line each.
    """

    counts: dict[Folder, int] = field(default_factory=dict)
    height: int = 0
    width: int = 0
    manifest: dict[str, Any] | None = None
    digest: str = ""
    faults: list[str] = field(default_factory=list)


def scan(root: Path) -> Scan:
    """Look at the names, sizes and headers of all files of a data set, about 0.1 ms each."""
    found = Scan()
    headers = [(path, _header(path)) for path in _frame_files(root, found)]
    shapes = Counter(
        header.shape[:2]
        for _, header in headers
        if not isinstance(header, str) and len(header.shape) > 1
    )
    if shapes:
        found.height, found.width = shapes.most_common(1)[0][0]
    listing = hashlib.sha256()
    for path, header in headers:
        if isinstance(header, str):
            found.faults.append(f"{describe_frame(path)}: {header}")
            continue
        found.faults += [
            f"{describe_frame(path)}: {fault}"
            for fault in _header_faults(header, (found.height, found.width, *PARTS[path.parts[-2]]))
        ]
        facts = (header.shape, header.dtype, header.fortran, header.expected, header.size)
        listing.update(f"{path.relative_to(root)} {facts}\n".encode())
    found.digest = listing.hexdigest()
    _read_manifest(root / MANIFEST, found)
    return found


def value_faults(part: str, values: np.ndarray, tolerated: float = 0.0) -> Iterator[str]:
    """Yield what is wrong with the values of one part of a frame.

    Args:
        part: a key of `PARTS`.
        values: its array, channels last.
        tolerated: share of pixels whose normal may have another length than 0 or 1, since
            normals that were resized with interpolation are shorter along edges.
    """
    if not (finite := np.isfinite(values)).all():
        yield f"{np.count_nonzero(~finite)} values are NaN or infinite"
    elif part == "image":
        low, high = float(values.min()), float(values.max())
        if low < -IMAGE_SLACK or high > 1 + IMAGE_SLACK:
            yield f"values from {low:g} to {high:g} instead of 0 to 1"
    elif part == "label":
        wrong = values[(values != np.round(values)) | (values < -1) | (values >= CLASSES)]
        if wrong.size:
            yield f"label {wrong[0]:g} at {wrong.size} pixels; allowed are -1 (none) and 0 to 12"
    elif part == "depth":
        if (low := float(values.min())) < 0:
            yield f"depth {low:g} m; depths are positive, or 0 where there is none"
    else:
        lengths_HW = np.sqrt(np.einsum("hwc,hwc->hw", values, values))
        off_HW = (lengths_HW > 0) & (np.abs(lengths_HW - 1) > NORMAL_SLACK)
        if np.count_nonzero(off_HW) > tolerated * off_HW.size:
            yield (
                f"normals of length {lengths_HW[off_HW][0]:.3g} at {np.count_nonzero(off_HW)} "
                "pixels; they are unit vectors, or zero where there is none"
            )


def value_doubts(part: str, values: np.ndarray) -> Iterator[str]:
    """Yield what is odd about the values of one part of a frame, and can be right."""
    if part == "label" and not (values >= 0).any():
        yield NO_LABEL
    elif part == "normal" and not values.any():
        yield NO_NORMAL
    elif part == "depth" and not (valid := values[values > 0]).size:
        yield NO_DEPTH
    elif part == "depth" and np.median(valid) > FARTHEST:
        yield MILLIMETRES


def _frame_files(root: Path, found: Scan) -> Iterator[Path]:
    """Yield the files that ought to be there and are; note what is missing or surplus."""
    for folder in FOLDERS:
        names: dict[str, set[str]] = {}
        for part in PARTS:
            if (root / folder / part).is_dir():
                files = (root / folder / part).glob("*.npy")
                names[part] = {path.stem for path in files if not is_clutter(path)}
            else:
                found.faults.append(_missing_folder(root, folder, part))
        numbers = [int(name) for part in names.values() for name in part if _is_index(name)]
        found.counts[folder] = count = max(numbers, default=-1) + 1
        if names and not count:
            found.faults.append(f"{root / folder} has no frames: its folders are empty")
        indices = [str(index) for index in range(count)]
        for part, present in names.items():
            for name in indices:
                path = root / folder / part / f"{name}.npy"
                if name in present:
                    yield path
                else:
                    found.faults.append(f"{describe_frame(path)} is missing")
            for name in sorted(present.difference(indices)):
                path = root / folder / part / f"{name}.npy"
                found.faults.append(f"{path}: frames are named 0.npy, 1.npy and so on")


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdecimal() and str(int(name)) == name


def _missing_folder(root: Path, folder: str, part: str) -> str:
    at = root / folder if (root / folder).is_dir() else root
    there = sorted(path.name + "/" * path.is_dir() for path in at.iterdir() if not is_clutter(path))
    kind = ""
    if {"label_7/", "label_19/"}.intersection(there):
        kind = ", which is MTAN's layout of Cityscapes"
    elif {"leftImg8bit/", "gtFine/"}.intersection(there):
        kind = ", which is the layout of Cityscapes"
    listing = ", ".join(there[:8]) + (", …" if len(there) > 8 else "") or "nothing"
    return (
        f"{root / folder / part} is missing: {at} holds {listing}{kind}; NYU-v2 is "
        f"{{{','.join(FOLDERS)}}}/{{{','.join(PARTS)}}}/{{i}}.npy (data/README.md)"
    )


def _header(path: Path) -> Header | str:
    """Return what the header says, or why it can't be read."""
    try:
        return read_header(path)
    except (OSError, ValueError) as error:
        return str(error)


def _header_faults(header: Header, wanted: tuple[int, ...]) -> Iterator[str]:
    shape = header.shape
    if np.dtype(header.dtype).kind != "f":
        yield f"type {np.dtype(header.dtype)} instead of a floating one"
    elif shape != wanted:
        hint = "; channels come last" if shape == (*wanted[2:], *wanted[:2]) != wanted else ""
        yield f"shape {shape} instead of {wanted}{hint}"
    elif header.size != header.expected:
        yield (
            f"{header.size} bytes instead of {header.expected}: the file is cut off or has "
            "something appended"
        )


def _read_manifest(path: Path, found: Scan) -> None:
    if not path.is_file():
        return
    try:
        raw = path.read_bytes()
        manifest = parse_json(raw)
        if manifest["kind"] not in ("real", "procedural"):
            raise ValueError(f"kind {manifest['kind']}")
        counts = manifest["frames"]
        [counts[folder] for folder in FOLDERS]
        if not isinstance(manifest["source"], str):
            raise TypeError("source is no text")
        for part in (f"{folder}/{part}" for folder in FOLDERS for part in PARTS):
            manifest["sha256"][part]
    except (ValueError, KeyError, TypeError) as error:
        found.faults.append(f"{path} is damaged ({error!r}): make the data set again")
        return
    found.manifest, found.digest = manifest, hashlib.sha256(raw).hexdigest()
    if counts != found.counts:
        found.faults.append(
            f"{path} speaks of {counts} frames, there are {found.counts}: a data set is either "
            "real or procedural, never mixed"
        )
