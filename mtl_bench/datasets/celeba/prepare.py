"""What ``mtl-bench data`` does for CelebA: check its files, or draw a stand-in."""

from __future__ import annotations

from mtl_bench.datasets.celeba.files import FILES
from mtl_bench.datasets.procedural.marks import synth

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

prepare, require, verify, remedy = FILES.prepare, FILES.require, FILES.verify, FILES.remedy
