"""The archive of CIFAR-100 for Python: three pickles in a tar file.

Only arrays, numbers, texts, lists and dictionaries are taken out of a pickle; whatever else one
names is refused, so that a stranger's file can't run anything.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mtl_bench.datasets.cifar100.labels import SUPERCLASS_OF, SUPERCLASSES
from mtl_bench.datasets.store.originals import Original, OriginalFiles, draw_or_prepare
from mtl_bench.errors import DataError

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")

ARCHIVE = "cifar-100-python.tar.gz"
FOLDER = "cifar-100-python"
"""Of the members of the archive."""

SHAPE = (3, 32, 32)


class Pictures(NamedTuple):
    """Pictures of one part.

    Args:
        images_NCHW: uint8 RGB, 32 x 32.
        classes_N: int64, 0 to 99.
    """

    images_NCHW: np.ndarray
    classes_N: np.ndarray


def read_parts(folder: Path) -> dict[Part, Pictures]:
    """Return the pictures of both parts.

    Raises:
        DataError: the archive is damaged, or holds something else than CIFAR-100 would.
    """
    archive = folder / ARCHIVE
    try:
        with tarfile.open(archive, "r:gz") as opened:
            members = {name: _read(opened, name) for name in (*PARTS, "meta")}
    except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{archive} can't be read ({error})") from error
    found = {}
    for name, content in members.items():
        try:
            found[name] = _SafeUnpickler(io.BytesIO(content), encoding="latin1").load()
            if not isinstance(found[name], dict):
                raise ValueError(f"a {type(found[name]).__name__} in place of a dictionary")
        except Exception as error:
            # a damaged pickle brings the module to nearly every exception
            raise DataError(f"{archive}, {name}: no readable pickle ({error})") from error
    if found["meta"].get("coarse_label_names") != list(SUPERCLASSES):
        raise DataError(f"{archive}, meta: other coarse_label_names than those of CIFAR-100")
    return {part: _pictures(found[part], f"{archive}, {part}") for part in PARTS}


def _faults(folder: Path) -> Iterator[str]:
    try:
        read_parts(folder)
    except DataError as error:
        yield str(error)


FILES = OriginalFiles(
    "cifar100",
    "archive of cs.toronto.edu",
    (
        Original(
            ARCHIVE,
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
        ),
    ),
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    _faults,
    partial(draw_or_prepare, "cifar100"),
)
"""The archive of the version for Python, 169 MB."""


def _read(opened: tarfile.TarFile, name: str) -> bytes:
    member = opened.extractfile(f"{FOLDER}/{name}")
    if member is None:
        raise KeyError(f"{FOLDER}/{name} is no file")
    return member.read()


def _pictures(values: dict[str, Any], where: str) -> Pictures:
    try:
        images = np.asarray(values["data"])
        fine, coarse = (
            np.asarray(values[key], np.int64) for key in ("fine_labels", "coarse_labels")
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{where}: {error!r} instead of data and labels") from error
    count = len(fine)
    if images.shape != (count, int(np.prod(SHAPE))) or images.dtype != np.uint8 or not count:
        raise DataError(f"{where}: data is {images.dtype} {images.shape}, of {count} labels")
    if fine.min() < 0 or fine.max() >= len(SUPERCLASS_OF):
        raise DataError(f"{where}: fine_labels from {fine.min()} to {fine.max()}, not 0 to 99")
    if not np.array_equal(SUPERCLASS_OF[fine], coarse):
        raise DataError(f"{where}: coarse_labels are not the superclasses of fine_labels")
    return Pictures(images.reshape(count, *SHAPE), fine)


ARRAYS = {
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    *(("numpy", "ndarray"), ("numpy", "dtype")),
}
"""What a pickled array names, by either version of NumPy."""


class _SafeUnpickler(pickle.Unpickler):
    """Loads what the pickles of CIFAR-100 are made of."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        """Return a maker of arrays."""
        if (module, name) not in ARRAYS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return super().find_class(module, name)
