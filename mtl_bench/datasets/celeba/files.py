"""The files of CelebA as they are published: one archive of pictures and two lists."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mtl_bench.datasets.store.originals import Original, OriginalFiles, draw_or_prepare
from mtl_bench.errors import DataError

if TYPE_CHECKING:
    from mtl_bench.datasets.base import Split

ARCHIVE, ATTRIBUTES, PARTITION = (
    "img_align_celeba.zip",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
)
FOLDER = "img_align_celeba"
"""Of the pictures within the archive."""

NAMES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs"),
    *("Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair"),
    *("Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair"),
    *("Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline"),
    *("Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings"),
    *("Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young"),
)
"""Of the attributes, in the order of their columns."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""What 0, 1 and 2 in the list of the official partition stand for."""


UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What ``zipfile`` raises; the last where a member is encrypted or compressed in unknown ways."""


class Lists(NamedTuple):
    """What the two lists say.

    Args:
        pictures: names of the picture files.
        attributes_NA: int64, 1 where a picture has an attribute.
        parts_N: 0, 1 or 2, see `SPLITS`.
    """

    pictures: list[str]
    attributes_NA: np.ndarray
    parts_N: np.ndarray


def read_lists(folder: Path) -> Lists:
    """Return the attributes and the official split.

    Raises:
        DataError: a list can't be read, or the two are not of the same pictures.
    """
    path, other = folder / ATTRIBUTES, folder / PARTITION
    count, header, body = _lines(path, 2)
    if tuple(header.split()) != NAMES:
        raise DataError(f"{path}, line 2: other attributes than those of CelebA")
    table = _table(path, body, 1 + len(NAMES))
    if count.strip() != str(len(table)):
        raise DataError(f"{path} has {len(table)} rows, its first line says {count.strip()}")
    values = table[:, 1:]
    if len(wrong := np.flatnonzero(~np.isin(values, ("1", "-1")).all(axis=1))):
        raise DataError(f"{path}: {table[wrong[0], 0]} has an attribute that is neither 1 nor -1")
    (partition,) = _lines(other, 0)
    parts = _table(other, partition, 2)
    if not np.array_equal(parts[:, 0], table[:, 0]):
        raise DataError(f"{other} and {ATTRIBUTES} are not of the same pictures")
    names, counts = np.unique(table[:, 0], return_counts=True)
    if counts.max() > 1:
        raise DataError(f"{path} and {PARTITION} have {names[counts.argmax()]} more than once")
    known = [str(part) for part in range(len(SPLITS))]
    if len(wrong := np.flatnonzero(~np.isin(parts[:, 1], known))):
        name, part = parts[wrong[0]]
        raise DataError(f"{other}: {name} is in part {part}, not 0, 1 or 2")
    if empty := [part for part in known if part not in parts[:, 1]]:
        raise DataError(f"{other}: no picture is in part {empty[0]}")
    return Lists(
        table[:, 0].tolist(), (values == "1").astype(np.int64), parts[:, 1].astype(np.int64)
    )


def read_picture(folder: Path, name: str, size: int) -> np.ndarray:
    """Return a picture as uint8 RGB (size, size, 3), resized by linear interpolation.

    Raises:
        DataError: Pillow is missing, or the archive lacks the picture or has it damaged.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DataError("Pillow is missing: pip install 'mtl_bench[vision]'") from error
    archive = folder / ARCHIVE
    try:
        content = _opened(archive, os.getpid()).read(f"{FOLDER}/{name}")
        with Image.open(io.BytesIO(content)) as picture:
            resized = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(resized)
    except UnidentifiedImageError as error:  # whose text has an address of memory
        raise DataError(f"{archive}: {name} can't be read (it is no picture)") from error
    except (*UNREADABLE, KeyError, SyntaxError, ValueError) as error:
        raise DataError(f"{archive}: {name} can't be read ({error})") from error


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
    except UNREADABLE as error:
        yield f"{folder / ARCHIVE} can't be read ({error})"
        return
    if missing:
        yield f"{folder / ARCHIVE} lacks {min(missing)}, and {len(missing) - 1} more"
    if damaged is not None:
        yield f"{folder / ARCHIVE}: {damaged} is damaged"


FILES = OriginalFiles(
    "celeba",
    "files of mmlab.ie.cuhk.edu.hk",
    (
        Original(ARCHIVE, "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"),
        Original(ATTRIBUTES, "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0"),
        Original(PARTITION, "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"),
    ),
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    _faults,
    partial(draw_or_prepare, "celeba"),
)
"""The archive, 1.4 GB, and the lists. Their page offers them from drives that take a browser; they
are read as they are, and nothing is unpacked."""


@lru_cache(maxsize=1)
def _opened(archive: Path, process: int) -> zipfile.ZipFile:
    """Return the archive, opened once in each process: a forked one must not share its place."""
    return zipfile.ZipFile(archive)


def _lines(path: Path, heads: int) -> list[str]:
    """Return the first lines of a file, and the rest of it."""
    try:
        lines = path.read_text(encoding="ascii").split("\n", heads)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read ({error})") from error
    return lines + [""] * (heads + 1 - len(lines))


def _table(path: Path, text: str, columns: int) -> np.ndarray:
    words = text.split()
    if not words or len(words) % columns:
        raise DataError(f"{path} has {len(words)} words, no rows of {columns}")
    return np.array(words).reshape(-1, columns)
