"""Data sets: raw files -> cached tensors -> loaders and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = [
    "CIFAR100",
    "QM9",
    "Batch",
    "CelebA",
    "Cityscapes",
    "Dataset",
    "MultiMNIST",
    "NYUv2",
]

if TYPE_CHECKING:
    from mtl_bench.datasets.base import Batch, Dataset
    from mtl_bench.datasets.celeba import CelebA
    from mtl_bench.datasets.cifar100 import CIFAR100
    from mtl_bench.datasets.cityscapes import Cityscapes
    from mtl_bench.datasets.multimnist import MultiMNIST
    from mtl_bench.datasets.nyuv2 import NYUv2
    from mtl_bench.datasets.qm9 import QM9
else:
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"Batch": "base", "Dataset": "base"})
