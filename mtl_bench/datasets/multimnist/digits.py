"""Handwritten digits: MNIST's files, and the digits that scikit-learn brings along.

Legend of shape suffixes: N digits, H = W = 28 rows and columns.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.store.originals import Original, OriginalFiles
from mtl_bench.errors import DataError
from mtl_bench.files import sha256_of

Part = Literal["train", "test"]
SIZE = 28

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MEMBERS: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
"""Images and labels of MNIST, 60,000 and 10,000 digits."""

EMBEDDED_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
EMBEDDED_TEST = 450
"""Digits of scikit-learn's 1,797 that test, the last ones: they are in the order of their writers,
so that most of these wrote no digit that is trained on."""


class Digits(NamedTuple):
    """Digits and what they are.

    Args:
        images_NHW: uint8, 0 for the paper.
        labels_N: int64, 0 to 9.
    """

    images_NHW: np.ndarray
    labels_N: np.ndarray


def read_mnist(folder: Path, part: Part) -> Digits:
    """Return the digits of a part of MNIST.

    Raises:
        DataError: a file can't be read, or images and labels don't belong together.
    """
    images, labels = (folder / name for name in MEMBERS[part])
    digits = Digits(_read_idx(images, 3), _read_idx(labels, 1).astype(np.int64))
    if digits.images_NHW.shape != (len(digits.labels_N), SIZE, SIZE) or not len(digits.labels_N):
        raise DataError(
            f"{images} has images {digits.images_NHW.shape}, {labels.name} {len(digits.labels_N)} "
            "labels"
        )
    if (highest := int(digits.labels_N.max())) > 9:
        raise DataError(f"{labels} has the label {highest}, the highest is 9")
    return digits


def how_to_get(folder: Path) -> str:
    """Return the two ways to have digits."""
    return (
        f"run `{data_command('prepare', 'multimnist', folder)}` to fetch MNIST (11 MB), or train "
        "with dataset.source=digits on the digits in scikit-learn's wheel"
    )


def _faults(folder: Path) -> Iterator[str]:
    for part in MEMBERS:
        try:
            read_mnist(folder, part)
        except DataError as error:
            yield str(error)


FILES = OriginalFiles(
    "multimnist",
    "MNIST's idx files",
    tuple(
        Original(name, sha256, MIRROR + name)
        for name, sha256 in zip(
            (*MEMBERS["train"], *MEMBERS["test"]),
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            strict=True,
        )
    ),
    "http://yann.lecun.com/exdb/mnist/",
    _faults,
    how_to_get,
)
"""MNIST's four files, 11 MB; ``dataset.source=digits`` needs none."""


def find_embedded() -> Path:
    """Return scikit-learn's file of digits, without importing the package.

    Raises:
        DataError: it is not installed, or its file is another one.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "dataset.source=digits needs the digits of scikit-learn: pip install "
            "'mtl_bench[digits]'"
        )
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file() or sha256_of(path) != EMBEDDED_SHA256:
        raise DataError(
            f"{path} is missing or not the known file: pip install --force-reinstall scikit-learn"
        )
    return path


def read_embedded(part: Part) -> Digits:
    """Return a part of the digits in scikit-learn's wheel, enlarged from 8 x 8 pixels.

    They are the test set of E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*,
    UCI Machine Learning Repository, 1998; each pixel counts 0 to 16 dark ones. Enlarging is linear,
    with the outermost pixels repeated at the edge.

    Raises:
        DataError: see `find_embedded`.
    """
    with gzip.open(find_embedded(), "rt", encoding="ascii") as stream:
        rows = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    counts_N88 = rows[:, :64].reshape(-1, 8, 8) * (255 / 16)
    blend_H8 = _linear(8, SIZE)
    images_NHW = np.einsum("hi,nij,wj->nhw", blend_H8, counts_N88, blend_H8)
    chosen = slice(-EMBEDDED_TEST) if part == "train" else slice(-EMBEDDED_TEST, None)
    return Digits(images_NHW.round().astype(np.uint8)[chosen], rows[chosen, 64])


def _linear(length: int, size: int) -> np.ndarray:
    """Return the (size, length) matrix of linear interpolation at the centres of pixels."""
    places = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(length)))


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the bytes of an idx file: two zeros, type 8, the dimensions, their sizes, values."""
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read ({error})") from error
    begin = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < begin:
        raise DataError(f"{path} is no idx file of bytes in {dimensions} dimensions")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) != begin + math.prod(shape):
        raise DataError(f"{path} has {len(content) - begin} values, its head says {shape}")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)
