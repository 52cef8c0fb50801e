"""Supervised learning: batches with targets, one network, one method."""

from mtl_bench.algorithms.supervised.supervised import Supervised

__all__ = ["Supervised"]
