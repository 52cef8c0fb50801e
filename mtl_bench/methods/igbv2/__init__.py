"""IGBv2: a soft actor-critic that weighs the task losses."""

from mtl_bench.methods.igbv2.igbv2 import IGBv2

__all__ = ["IGBv2"]
