"""CelebA: forty attributes of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["CelebA"]

if TYPE_CHECKING:
    from mtl_bench.datasets.celeba.dataset import CelebA
else:
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"CelebA": "dataset"})
