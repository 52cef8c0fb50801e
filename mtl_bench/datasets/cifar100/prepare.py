"""What ``mtl-bench data`` does for CIFAR-100: fetch it and check it, or draw a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mtl_bench.datasets.cifar100.archive import ORIGINALS, read_parts
from mtl_bench.datasets.procedural.objects import synth
from mtl_bench.datasets.store.originals import (
    Original,
    open_originals,
    prepare_originals,
    restore,
    verify_originals,
)
from mtl_bench.errors import DataError

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

NAME = "cifar100"
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def prepare(
    folder: Path,
    *,
    report: Callable[[str], None] = print,
    originals: Sequence[Original] = ORIGINALS,
) -> None:
    """Fetch the archive of the version for Python, 169 MB, and check it.

    Args:
        folder: where it goes; an archive that is there is not downloaded.
        report: gets a few lines of progress.
        originals: the archive, for tests.

    Raises:
        DataError: the network failed, or the archive is not what it should be.
        MtlBenchError: the disk is full or can't be written.
    """
    prepare_originals(folder, NAME, "archive of cs.toronto.edu", originals, PAGE, _faults, report)


def require(folder: Path) -> None:
    """Check that there is an archive to train on."""
    open_originals(folder, NAME)


def verify(folder: Path) -> list[str]:
    """Check every byte of the archive, and that its labels are those of CIFAR-100."""
    return verify_originals(folder, NAME, _faults)


def remedy(folder: Path) -> str:
    """Return how to get files that have faults again."""
    return restore(folder, NAME)


def _faults(folder: Path) -> Iterator[str]:
    try:
        read_parts(folder)
    except DataError as error:
        yield str(error)
