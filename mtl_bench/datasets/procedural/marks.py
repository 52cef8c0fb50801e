"""Procedural pictures in the files of CelebA, for lack of the real ones.

Each attribute is a mark, one of five shapes in one of eight colours, near a place of its own; what
tells shapes and colours apart serves all forty tasks. Attributes are more or less frequent, and
depend on two facts that no task asks for. What a network learns says nothing about real faces.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mtl_bench.datasets.celeba.files import (
    ARCHIVE,
    ATTRIBUTES,
    FOLDER,
    NAMES,
    PARTITION,
)
from mtl_bench.datasets.procedural.shapes import SHAPES, hue
from mtl_bench.datasets.store.originals import write_procedural
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

VERSION = 1
"""Goes up when the same seed gives other pictures."""

HEIGHT, WIDTH = 218, 178
"""Of the real pictures."""

COLUMNS = len(SHAPES)
ROWS = len(NAMES) // COLUMNS
"""Places of the marks, and at the same time how many shapes and colours there are."""

RADIUS = 13


def synth(
    folder: Path,
    train: PositiveInt = 1600,
    val: PositiveInt = 200,
    test: PositiveInt = 400,
    seed: NonNegativeInt = 0,
    *,
    report: Callable[[str], None] = print,
) -> None:
    """Write procedural pictures with forty attributes, unless the same ones are there already.

    Args:
        folder: where the files go; other procedural ones are replaced.
        train: pictures to train on.
        val: pictures to validate on.
        test: pictures to test on.
        seed: of everything.
        report: gets a few lines of progress.

    Raises:
        DataError: the folder holds something else, or Pillow is missing.
        MtlBenchError: the disk is full or can't be written.
    """
    settings = {"train": train, "val": val, "test": test, "seed": seed}
    facts = {"source": f"procedural marks, version {VERSION}", "settings": settings}
    write_procedural(folder, "celeba", facts, partial(_write, settings), report)


def draw_attributes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return which attributes pictures have, bool (count, 40).

    An attribute's log-odds are its own plus its loadings on two hidden facts of the picture; the
    same attributes are frequent and the same depend on each other whatever the generator.
    """
    fixed = np.random.default_rng(0)
    own = fixed.uniform(-1.8, 0.6, len(NAMES))
    loadings = fixed.normal(0, 1, (2, len(NAMES)))
    odds = own + rng.choice([-1.0, 1.0], (count, 2)) @ loadings
    return rng.random(odds.shape) < 1 / (1 + np.exp(-odds))


def draw_picture(attributes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture with the marks of its attributes, uint8 (218, 178, 3)."""
    picture = np.empty((HEIGHT, WIDTH, 3))
    picture[:] = rng.uniform(0.2, 0.5, 3)
    for number in rng.permutation(np.flatnonzero(attributes)):
        row, column = divmod(int(number), COLUMNS)
        x = (column + rng.uniform(0.3, 0.7)) * WIDTH / COLUMNS
        y = (row + rng.uniform(0.4, 0.6)) * HEIGHT / ROWS
        top, left = int(max(0, y - RADIUS)), int(max(0, x - RADIUS))
        window = picture[top : int(y) + RADIUS, left : int(x) + RADIUS]
        rows, columns = np.mgrid[: window.shape[0], : window.shape[1]]
        size = RADIUS * rng.uniform(0.75, 1.0)
        inside = SHAPES[column]((columns + left - x) / size, (rows + top - y) / size)
        window[inside] = rng.uniform(0.7, 1.0) * hue(row / ROWS)
    noisy = picture + rng.normal(0, 0.04, picture.shape)
    return (255 * noisy.clip(0, 1)).round().astype(np.uint8)


def _write(settings: Mapping[str, int], folder: Path) -> Sequence[str]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Pillow is missing: pip install 'mtl_bench[vision]'") from error
    counts = [settings[key] for key in ("train", "val", "test")]
    rng = np.random.default_rng(derive_seed(settings["seed"], "marks"))
    attributes = draw_attributes(sum(counts), rng)
    names = [f"{number:06d}.jpg" for number in range(1, len(attributes) + 1)]
    parts = np.repeat(np.arange(3), counts)
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for name, own in zip(names, attributes, strict=True):
            content = io.BytesIO()
            Image.fromarray(draw_picture(own, rng)).save(content, "JPEG", quality=90)
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}"), content.getvalue())
    rows = [
        f"{name} {' '.join('1' if a else '-1' for a in own)}\n"
        for name, own in zip(names, attributes, strict=True)
    ]
    (folder / ATTRIBUTES).write_text(f"{len(names)}\n{' '.join(NAMES)}\n{''.join(rows)}")
    split = [f"{name} {part}\n" for name, part in zip(names, parts, strict=True)]
    (folder / PARTITION).write_text("".join(split))
    return [ARCHIVE, ATTRIBUTES, PARTITION]
