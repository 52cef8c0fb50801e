"""Procedural pictures in the archive of CIFAR-100, for lack of the real ones.

A picture shows one of five shapes. Each superclass has a hue, a pattern behind it, and an order of
its own in which its classes are the five shapes: what tells shapes apart is the same for all twenty
tasks, and their heads are not. What a network learns says nothing about real pictures.

Legend of shape suffixes: N pictures, H = W = 32 rows and columns, C = 3 channels (RGB).
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, MultipleOf

from mtl_bench.datasets.cifar100.archive import ARCHIVE, FOLDER, PARTS, SHAPE
from mtl_bench.datasets.cifar100.labels import CLASSES, SUPERCLASS_OF, SUPERCLASSES
from mtl_bench.datasets.procedural.shapes import SHAPES, hue
from mtl_bench.datasets.store.originals import write_procedural
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt

VERSION = 1
"""Goes up when the same seed gives other pictures."""

Count = Annotated[int, Ge(CLASSES), MultipleOf(CLASSES)]


def synth(
    folder: Path,
    train: Count = 200,
    test: Count = 50,
    seed: NonNegativeInt = 0,
    *,
    report: Callable[[str], None] = print,
) -> None:
    """Write procedural pictures of all hundred classes, unless the same ones are there already.

    Args:
        folder: where the archive goes; another procedural one is replaced.
        train: pictures of each superclass to train on; the real ones are 2,500.
        test: pictures of each superclass to test on; the real ones are 500.
        seed: of everything.
        report: gets a few lines of progress.

    Raises:
        DataError: the folder holds something else.
        MtlBenchError: the disk is full or can't be written.
    """
    settings = {"train": train, "test": test, "seed": seed}
    facts = {"source": f"procedural objects, version {VERSION}", "settings": settings}
    write_procedural(folder, "cifar100", facts, partial(_write, settings), report)


def draw(superclass: int, ranks_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pictures of classes of one superclass, uint8 (N, 3, 32, 32).

    Args:
        superclass: 0 to 19.
        ranks_N: each picture's class, 0 to 4.
        rng: where, how large, how bright and how noisy they are.
    """
    count, (_, height, width) = len(ranks_N), SHAPE

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1, 1))

    rows, columns = np.mgrid[:height, :width]
    x, y = columns - width / 2 + uniform(-5, 5), rows - height / 2 + uniform(-5, 5)
    size, turn = uniform(7, 11), uniform(-0.4, 0.4)
    cosine, sine = np.cos(turn) / size, np.sin(turn) / size
    u, v = cosine * x + sine * y, cosine * y - sine * x
    order = np.random.default_rng(derive_seed(0, "order", superclass)).permutation(CLASSES)
    inside_NHW = np.stack([shape(u, v) for shape in SHAPES])[order[ranks_N], np.arange(count)]
    angle = np.pi * superclass / len(SUPERCLASSES)
    waves_NHW = np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * 0.9 + uniform(0, 6.3))
    place = superclass / len(SUPERCLASSES)
    behind_NHWC = (0.35 + 0.12 * waves_NHW)[..., None] * hue(place + 0.5 + uniform(-0.1, 0.1))
    shown_NHWC = uniform(0.6, 1.0)[..., None] * hue(place + uniform(-0.1, 0.1))
    pixels_NHWC = np.where(inside_NHW[..., None], shown_NHWC, behind_NHWC)
    noisy_NHWC = pixels_NHWC + rng.normal(0, 0.1, pixels_NHWC.shape)
    return (255 * noisy_NHWC.clip(0, 1)).round().astype(np.uint8).transpose(0, 3, 1, 2)


def _write(settings: Mapping[str, int], folder: Path) -> Sequence[str]:
    members: dict[str, Any] = {
        "meta": {
            "coarse_label_names": list(SUPERCLASSES),
            "fine_label_names": [f"class_{number}" for number in range(len(SUPERCLASS_OF))],
        }
    }
    fine_of_TK = np.argsort(SUPERCLASS_OF, kind="stable").reshape(-1, CLASSES)
    for part in PARTS:
        count = settings[part]
        ranks = np.arange(count) % CLASSES
        images = [
            draw(t, ranks, np.random.default_rng(derive_seed(settings["seed"], "objects", part, t)))
            for t in range(len(SUPERCLASSES))
        ]
        # one of every superclass after another, so that any first ones are of all classes
        joined = np.stack(images, axis=1).reshape(count * len(SUPERCLASSES), -1)
        fine = fine_of_TK[:, ranks].T.reshape(-1)
        members[part] = {
            "data": joined,
            "fine_labels": fine.tolist(),
            "coarse_labels": SUPERCLASS_OF[fine].tolist(),
            "filenames": [f"{part}_{number:06d}.png" for number in range(len(fine))],
            "batch_label": f"{part}, procedural",
        }
    with (
        (folder / ARCHIVE).open("wb") as stream,
        gzip.GzipFile("", "wb", 1, stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, values in members.items():
            content = pickle.dumps(values, protocol=4)
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [ARCHIVE]
