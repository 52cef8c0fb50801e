"""Cityscapes: segmentation, instances and disparity of street scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtl_bench.datasets.cityscapes.dataset import Cityscapes

__all__ = ["Cityscapes"]


def __getattr__(name: str) -> type[Cityscapes]:
    """Import the class when it is asked for: ``mtl-bench data`` and its processes need no torch."""
    if name == "Cityscapes":
        from mtl_bench.datasets.cityscapes.dataset import Cityscapes

        return Cityscapes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
