"""Reproducible benchmarks of multi-task optimisation.

``build_dataset``, ``build_architecture`` and ``build_method`` give in Python what the command line
configures, and ``train`` carries it out; see ``mtl_bench.api``. ``load_results`` returns the
numbers of all records, ``load_run`` one run with its network.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "build_architecture",
    "build_dataset",
    "build_method",
    "load_results",
    "load_run",
    "train",
]

_MODULES = {
    "load_results": "mtl_bench.records.frames",
    "load_run": "mtl_bench.inspect.recorded_run",
}
"""Where the names are that aren't in ``mtl_bench.api``."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - functions of the API
    """Import the API when it is asked for: ``mtl-bench --help`` needs neither Hydra nor torch."""
    if name in __all__:
        return getattr(import_module(_MODULES.get(name, "mtl_bench.api")), name)
    raise AttributeError(f"module 'mtl_bench' has no attribute '{name}'")
