"""What ``mtl-bench data`` does for CIFAR-100: fetch it and check it, or draw a stand-in."""

from __future__ import annotations

from mtl_bench.datasets.cifar100.archive import FILES
from mtl_bench.datasets.procedural.objects import synth

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

prepare, require, verify, remedy = FILES.prepare, FILES.require, FILES.verify, FILES.remedy
