"""NYU-v2: segmentation, depth and surface normals of indoor scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["NYUv2"]

if TYPE_CHECKING:
    from mtl_bench.datasets.nyuv2.dataset import NYUv2
else:  # `mtl-bench data` and its processes need no torch
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"NYUv2": "dataset"})
