"""Reproducible benchmarks of multi-task optimisation.

``TaskGradients`` and the methods serve a training loop of your own: they import torch and NumPy,
and no Hydra. ``build_dataset``, ``build_architecture`` and ``build_method`` give in Python what the
command line configures, and ``train`` carries it out; see ``mtl_bench.api``. ``load_results``
returns the numbers of all records, ``load_run`` one run with its network.
"""

from __future__ import annotations

from mtl_bench.lazy import lazy_exports
from mtl_bench.methods import __all__ as _METHODS

__version__ = "0.1.0"

_HOMES = {
    "TaskGradients": "gradients",
    **dict.fromkeys(_METHODS, "methods"),
    **dict.fromkeys(("build_architecture", "build_dataset", "build_method", "train"), "api"),
    "load_results": "records.frames",
    "load_run": "inspect.recorded_run",
}
__all__ = ["__version__", *_HOMES]

# `mtl-bench --help` needs neither Hydra nor torch; type checkers read __init__.pyi
__getattr__, __dir__ = lazy_exports(__name__, __all__, _HOMES)
