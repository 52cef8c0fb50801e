"""NYU-v2: segmentation, depth and surface normals of indoor scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtl_bench.datasets.nyuv2.dataset import NYUv2

__all__ = ["NYUv2"]


def __getattr__(name: str) -> type[NYUv2]:
    """Import the class when it is asked for: ``mtl-bench data`` and its processes need no torch."""
    if name == "NYUv2":
        from mtl_bench.datasets.nyuv2.dataset import NYUv2

        return NYUv2
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
