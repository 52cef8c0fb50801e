"""MultiMNIST: two tasks, the left and the right one of two overlapping digits.

Legend of shape suffixes: B pictures, H = W = 28 rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mtl_bench.datasets.base import Split
from mtl_bench.datasets.classification import classify
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.datasets.multimnist.digits import (
    EMBEDDED_SHA256,
    FILES,
    SIZE,
    Digits,
    Part,
    read_embedded,
    read_mnist,
)
from mtl_bench.datasets.numbered import NumberedSamples
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

CANVAS, OFFSET = 36, 6
"""Side of the canvas, and how far down and to the right of the left digit the right one lies."""

MEAN, DEVIATION = 0.1307, 0.3081
"""Of MNIST's pixels; inputs are standardised by them."""


def overlay(left_BHW: np.ndarray, right_BHW: np.ndarray) -> np.ndarray:
    """Return pictures of two digits each, uint8 (B, 28, 28).

    The left digit lies at (0, 0) and the right one at (6, 6) of 36 x 36 pixels, the brighter of two
    pixels counts, and of these 28 x 28 are kept, the nearest ones, as in the code of Sener and
    Koltun (2018).
    """
    canvas = np.zeros((len(left_BHW), CANVAS, CANVAS), np.uint8)
    canvas[:, :SIZE, :SIZE] = left_BHW
    corner = canvas[:, OFFSET : OFFSET + SIZE, OFFSET : OFFSET + SIZE]
    np.maximum(corner, right_BHW, out=corner)
    nearest = (np.arange(SIZE) + 0.5) * CANVAS / SIZE
    rows = nearest.astype(int)
    return canvas[:, rows[:, None], rows]


class MultiMNIST(NumberedSamples[ImageBatch]):
    """Pictures of two overlapping handwritten digits, with a task for each.

    Every digit of the source is the left one of a picture in turn, beside a random right one; which
    pictures there are doesn't depend on the seed. Training, validation and test pictures are made
    of different digits.

    Args:
        root: folder of MNIST's files, for ``source="mnist"``.
        seed: seed of the order of the batches and of the held-out digits.
        source: ``mnist``, or ``digits`` for the 1,797 real digits in scikit-learn's wheel, enlarged
            from 8 x 8 pixels.
        train_size: pictures to train on, also more than there are digits; None for one per digit.
        test_size: pictures to test on; None for one per digit.
        holdout: digits of the training part whose pictures validate.
        batch_size: pictures in a training batch; the last may be smaller.
        eval_batch_size: pictures in a batch of an evaluation.

    Raises:
        DataError: the digits are missing or damaged, or fewer than are held out.
    """

    __module__ = "mtl_bench.datasets.multimnist"  # the path that configurations name

    name = "multimnist"
    task_names = ("left", "right")
    score = "accuracy"

    def __init__(
        self,
        root: str,
        *,
        seed: NonNegativeInt,
        source: Literal["mnist", "digits"] = "mnist",
        train_size: PositiveInt | None = None,
        test_size: PositiveInt | None = None,
        holdout: NonNegativeInt = 0,
        batch_size: PositiveInt = 256,
        eval_batch_size: PositiveInt = 256,
    ) -> None:
        digits, self.origin = _embedded() if source == "digits" else _mnist(Path(root))
        count = len(digits["train"].labels_N)
        if holdout >= count:
            raise DataError(f"dataset.holdout={holdout} leaves none of the {count} digits to train")
        shuffled = np.random.default_rng(derive_seed(seed, "split")).permutation(count)
        pools = {
            "train": (digits["train"], np.sort(shuffled[holdout:]), train_size),
            "validation": (digits["train"], np.sort(shuffled[:holdout]), None),
            "test": (digits["test"], np.arange(len(digits["test"].labels_N)), test_size),
        }
        pairs = {split: _pair(split, *pool) for split, pool in pools.items() if len(pool[1])}
        ends = np.cumsum([len(pair.left_B) for pair in pairs.values()])
        splits: dict[Split, np.ndarray] = {
            split: np.arange(end - len(pair.left_B), end)  # type: ignore[misc]
            for (split, pair), end in zip(pairs.items(), ends, strict=True)
        }
        store = _TwoDigits(list(pairs.values()), ends)
        super().__init__(store, splits, seed, batch_size, eval_batch_size)
        self.tasks = tuple(classify(name, f"{name.capitalize()} digit") for name in self.task_names)


@dataclass(frozen=True)
class _Pairs:
    """The digits of pictures, by their numbers."""

    digits: Digits
    left_B: np.ndarray
    right_B: np.ndarray


def _pair(split: str, digits: Digits, pool: np.ndarray, size: int | None) -> _Pairs:
    """Return ``size`` pictures of the digits in a pool, one per digit by default."""
    size = len(pool) if size is None else size
    right = np.random.default_rng(derive_seed(0, "pairs", split)).integers(len(pool), size=size)
    return _Pairs(digits, pool[np.arange(size) % len(pool)], pool[right])


@dataclass(frozen=True)
class _TwoDigits:
    """Pictures of several splits, numbered through; ``ends`` is where those of each end."""

    pairs: list[_Pairs]
    ends: np.ndarray

    def __getitems__(self, indices: np.ndarray) -> ImageBatch:
        which = int(np.searchsorted(self.ends, indices[0], side="right"))  # a batch has one split
        pairs = self.pairs[which]
        own = indices - (self.ends[which] - len(pairs.left_B))
        chosen = {"left": pairs.left_B[own], "right": pairs.right_B[own]}
        pictures = overlay(*(pairs.digits.images_NHW[numbers] for numbers in chosen.values()))
        images = (torch.from_numpy(pictures).float() / 255 - MEAN) / DEVIATION
        return ImageBatch(
            images[:, None],
            {task: torch.from_numpy(pairs.digits.labels_N[n]) for task, n in chosen.items()},
        )


def _embedded() -> tuple[dict[Part, Digits], dict[str, str]]:
    return {"train": read_embedded("train"), "test": read_embedded("test")}, {
        "kind": "real",
        "source": "embedded: digits of scikit-learn, enlarged from 8 x 8",
        "manifest": EMBEDDED_SHA256,
    }


def _mnist(folder: Path) -> tuple[dict[Part, Digits], dict[str, str]]:
    sealed = FILES.open(folder)
    return {"train": read_mnist(folder, "train"), "test": read_mnist(folder, "test")}, sealed.origin
