"""Batches without meaning; what a training step costs does not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mtl_bench.datasets.images import ImageBatch

Size = tuple[int, int, int]
"""Images, rows, columns of a batch."""


def describe_size(size: Size) -> str:
    """Return a batch's size in words."""
    return f"batch {size[0]} of {size[1]} x {size[2]}"


def random_batches(
    size: Size, targets: Callable[[torch.Generator], dict[str, Tensor]]
) -> Iterator[ImageBatch]:
    """Yield random images with labels, without end.

    Args:
        size: images, rows, columns of a batch.
        targets: draws task -> targets of a batch.
    """
    generator = torch.Generator().manual_seed(0)
    images, rows, columns = size
    while True:
        pixels = torch.rand(images, 3, rows, columns, generator=generator)
        yield ImageBatch(pixels, targets(generator))
