"""Writing a data set in the npy layout of NYU-v2, frames in parallel, all or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtl_bench.datasets.nyuv2.layout import FOLDERS, PARTS, Folder, Scan, frame_path, scan
from mtl_bench.datasets.store.cache import MANIFEST, replace_folder, write_array
from mtl_bench.datasets.store.preparation import map_parallel
from mtl_bench.errors import DataError
from mtl_bench.files import is_clutter, sha256_of, write_json

FORMAT = 1
PROGRESS = 100
"""Frames between two lines of progress."""


class MakeFrame(Protocol):
    """Makes one frame; it has to be picklable."""

    def __call__(self, folder: Folder, index: int, /) -> dict[str, np.ndarray]:
        """Return part -> array, channels last."""


def write_frames(
    root: Path,
    make: MakeFrame,
    counts: Mapping[Folder, int],
    facts: Mapping[str, Any],
    jobs: int | None,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Build the data set ``root``, or leave it as it was.

    Args:
        root: where it goes.
        make: makes a frame.
        counts: frames of each folder.
        facts: fields of the manifest: ``kind``, ``source`` and what else there is to know.
        jobs: processes; None for the usable cores.
        report: gets lines of progress.

    Returns:
        The manifest, with a SHA-256 of each part of each folder.

    Raises:
        DataError: ``root`` holds a data set that must not be replaced; or from ``make``.
        MtlBenchError: the disk is full or can't be written.
    """
    _protect(root, facts["kind"])
    wanted = [(folder, index) for folder in FOLDERS for index in range(counts[folder])]
    digests = {(folder, part): hashlib.sha256() for folder in FOLDERS for part in PARTS}
    with replace_folder(root) as building:
        for folder, part in digests:
            (building / folder / part).mkdir(parents=True)
        work = partial(_write_frame, building, make)
        for done, ((folder, _), hashes) in enumerate(
            zip(wanted, map_parallel(work, wanted, jobs), strict=True), 1
        ):
            for part, sha256 in hashes.items():
                digests[folder, part].update(bytes.fromhex(sha256))
            if done % PROGRESS == 0 or done == len(wanted):
                report(f"{done} of {len(wanted)} frames")
        manifest = {
            "format": FORMAT,
            "dataset": "nyuv2",
            **facts,
            "frames": dict(counts),
            "sha256": {f"{folder}/{part}": d.hexdigest() for (folder, part), d in digests.items()},
        }
        write_json(building / MANIFEST, manifest)
    return manifest


def content_digest(root: Path, folder: Folder, part: str, count: int) -> str:
    """Return the SHA-256 over the SHA-256 of a part's files in their order."""
    digest = hashlib.sha256()
    for index in range(count):
        digest.update(bytes.fromhex(sha256_of(frame_path(root, folder, part, index))))
    return digest.hexdigest()


def changed_parts(root: Path, found: Scan) -> Iterator[str]:
    """Yield the parts whose content is not that of the manifest; every byte is read."""
    if found.manifest is None:
        return
    for folder in FOLDERS:
        for part in PARTS:
            expected = found.manifest["sha256"][f"{folder}/{part}"]
            if content_digest(root, folder, part, found.counts[folder]) != expected:
                yield (
                    f"{root / folder / part} has changed: its SHA-256 is not the one in the "
                    "manifest"
                )


def up_to_date(root: Path, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of ``root`` if it was made with these facts and no byte has changed."""
    if not root.is_dir():
        return None
    found = scan(root)
    if found.faults or found.manifest is None:
        return None
    same = all(found.manifest.get(key) == value for key, value in facts.items())
    return found.manifest if same and not any(changed_parts(root, found)) else None


def _protect(root: Path, kind: str) -> None:
    """Refuse to replace what can't be made again as easily.

    Raises:
        DataError: with the remedy.
    """
    if not root.is_dir() or all(map(is_clutter, root.iterdir())):
        return
    manifest = scan(root).manifest
    if manifest is None:
        raise DataError(
            f"{root} holds files that `mtl-bench data` did not write: move them away, or choose "
            "another folder with paths.data=DIR"
        )
    if kind == "procedural" and manifest["kind"] == "real":
        raise DataError(
            f"{root} holds the real data set: move it away, or put procedural rooms elsewhere with "
            "paths.data=DIR"
        )


def _write_frame(building: Path, make: MakeFrame, wanted: tuple[Folder, int]) -> dict[str, str]:
    """Write one frame and return the SHA-256 of its files."""
    folder, index = wanted
    arrays = make(folder, index)
    return {
        part: write_array(building / folder / part, str(index), arrays[part])["sha256"]
        for part in PARTS
    }
