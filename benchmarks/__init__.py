"""Measurements of speed against peers, run from a checkout: ``python -m benchmarks NAME``."""
