"""What ``mtl-bench data`` does for MultiMNIST: fetch MNIST and check it."""

from __future__ import annotations

from mtl_bench.datasets.multimnist.digits import FILES

__all__ = ["prepare", "remedy", "verify"]

prepare, verify, remedy = FILES.prepare, FILES.verify, FILES.remedy
