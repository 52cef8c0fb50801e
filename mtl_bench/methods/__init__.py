"""Multi-task optimisation methods, one file each: class ``MGDA`` lives in ``mgda.py``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, or a module that Python then imports
    """Find a method's class by its name, importing its file and no other."""
    module = f"{__name__}.{name.lower()}"
    if name != name.lower() and find_spec(module) is not None:
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
