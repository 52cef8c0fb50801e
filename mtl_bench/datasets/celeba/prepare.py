"""What ``mtl-bench data`` does for CelebA: check its files, or draw a stand-in."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mtl_bench.datasets.celeba.files import ARCHIVE, FOLDER, ORIGINALS, read_lists
from mtl_bench.datasets.procedural.marks import synth
from mtl_bench.datasets.store.originals import (
    Original,
    open_originals,
    prepare_originals,
    restore,
    verify_originals,
)
from mtl_bench.errors import DataError

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

NAME = "celeba"
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def prepare(
    folder: Path,
    *,
    report: Callable[[str], None] = print,
    originals: Sequence[Original] = ORIGINALS,
) -> None:
    """Check the archive of the aligned pictures, 1.4 GB, and the two lists.

    Their page offers them from drives that take a browser. They are read as they are: nothing is
    unpacked.

    Args:
        folder: where they were put.
        report: gets a few lines of progress.
        originals: the files, for tests.

    Raises:
        DataError: a file is missing or not what it should be; the line says where it is from.
    """
    prepare_originals(
        folder, NAME, "files of mmlab.ie.cuhk.edu.hk", originals, PAGE, _faults, report
    )


def require(folder: Path) -> None:
    """Check that there are files to train on."""
    open_originals(folder, NAME)


def verify(folder: Path) -> list[str]:
    """Check every byte, both lists, and that the archive has every picture that they name."""
    return verify_originals(folder, NAME, _faults)


def remedy(folder: Path) -> str:
    """Return how to get files that have faults again."""
    return restore(folder, NAME)


def _faults(folder: Path) -> Iterator[str]:
    try:
        pictures = read_lists(folder).pictures
    except DataError as error:
        yield str(error)
        return
    try:
        with zipfile.ZipFile(folder / ARCHIVE) as archive:
            missing = {f"{FOLDER}/{name}" for name in pictures}.difference(archive.namelist())
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        yield f"{folder / ARCHIVE} can't be read ({error})"
        return
    if missing:
        yield f"{folder / ARCHIVE} lacks {min(missing)}, and {len(missing) - 1} more"
    if damaged is not None:
        yield f"{folder / ARCHIVE}: {damaged} is damaged"
