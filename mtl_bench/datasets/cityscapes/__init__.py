"""Cityscapes: segmentation, instances and disparity of street scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["Cityscapes"]

if TYPE_CHECKING:
    from mtl_bench.datasets.cityscapes.dataset import Cityscapes
else:  # `mtl-bench data` and its processes need no torch
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"Cityscapes": "dataset"})
