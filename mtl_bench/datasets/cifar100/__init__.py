"""CIFAR-100 as twenty tasks, one for each superclass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["CIFAR100"]

if TYPE_CHECKING:
    from mtl_bench.datasets.cifar100.dataset import CIFAR100
else:
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"CIFAR100": "dataset"})
