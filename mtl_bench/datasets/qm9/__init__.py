"""QM9: eleven properties of 130,831 molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["QM9"]

if TYPE_CHECKING:
    from mtl_bench.datasets.qm9.dataset import QM9
else:  # `mtl-bench data` and its processes need no torch
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"QM9": "dataset"})
