"""MultiMNIST: the left and the right one of two overlapping digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["MultiMNIST"]

if TYPE_CHECKING:
    from mtl_bench.datasets.multimnist.dataset import MultiMNIST
else:
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"MultiMNIST": "dataset"})
