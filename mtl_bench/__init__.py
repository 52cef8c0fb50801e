"""Reproducible benchmarks of multi-task optimisation.

``TaskGradients`` and the methods serve a training loop of your own: they import torch and NumPy,
and no Hydra. ``build_dataset``, ``build_architecture`` and ``build_method`` give in Python what the
command line configures; see ``mtl_bench.api``.
"""

from __future__ import annotations

from mtl_bench.lazy import lazy_exports
from mtl_bench.methods import __all__ as _METHODS

__version__ = "0.1.0"

_HOMES = {
    "TaskGradients": "gradients",
    **dict.fromkeys(_METHODS, "methods"),
    **dict.fromkeys(("build_architecture", "build_dataset", "build_method"), "api"),
}
__all__ = ["__version__", *_HOMES]

# `mtl-bench --help` needs neither Hydra nor torch; type checkers read __init__.pyi
__getattr__, __dir__ = lazy_exports(__name__, __all__, _HOMES)
