"""Reproducible benchmarks of multi-task optimisation.

``build_dataset``, ``build_architecture`` and ``build_method`` give in Python what the command line
configures; see ``mtl_bench.api``.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "build_architecture", "build_dataset", "build_method"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - functions of mtl_bench.api
    """Import the API when it is asked for: ``mtl-bench --help`` needs neither Hydra nor torch."""
    if name in __all__:
        from mtl_bench import api

        return getattr(api, name)
    raise AttributeError(f"module 'mtl_bench' has no attribute '{name}'")
