"""What every method, architecture and data set keeps, as functions for the tests of any package.

They raise AssertionError with a line that says what isn't kept. Our own tests call the same ones.
"""

from __future__ import annotations

from mtl_bench.testing.architectures import check_architecture
from mtl_bench.testing.datasets import check_dataset
from mtl_bench.testing.methods import check_method

__all__ = ["check_architecture", "check_dataset", "check_method"]
