"""What ``mtl-bench data`` does for MultiMNIST: fetch MNIST and check it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mtl_bench.datasets.multimnist.digits import FILES, ORIGINALS, how_to_get, read_mnist
from mtl_bench.datasets.store.originals import (
    Original,
    prepare_originals,
    restore,
    verify_originals,
)
from mtl_bench.errors import DataError

NAME = "multimnist"
PAGE = "http://yann.lecun.com/exdb/mnist/"


def prepare(
    folder: Path,
    *,
    report: Callable[[str], None] = print,
    originals: Sequence[Original] = ORIGINALS,
) -> None:
    """Fetch MNIST's four files, 11 MB, and check them; ``dataset.source=digits`` needs none.

    Args:
        folder: where they go; files that are there are not downloaded.
        report: gets a few lines of progress.
        originals: the files, for tests.

    Raises:
        DataError: the network failed, or a file is not what it should be.
        MtlBenchError: the disk is full or can't be written.
    """
    prepare_originals(folder, NAME, "MNIST's idx files", originals, PAGE, _faults, report)


def verify(folder: Path) -> list[str]:
    """Check every byte of MNIST's files, and that images and labels belong together."""
    return verify_originals(folder, NAME, _faults)


def remedy(folder: Path) -> str:
    """Return how to get files that have faults again."""
    return restore(folder, NAME) if folder.is_dir() else how_to_get(folder)


def _faults(folder: Path) -> Iterator[str]:
    for part in FILES:
        try:
            read_mnist(folder, part)
        except DataError as error:
            yield str(error)
