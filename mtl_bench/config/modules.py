"""Where the source of a module lies, found without running it or the packages around it."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def package_folders(package: str) -> list[Path]:
    """Return the folders of a top-level package; none if there is no such package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def find_source(module: str) -> Path | None:
    """Return the file of ``package.module``, or None.

    ``importlib.util.find_spec`` would import every package on the way, and what these import.
    """
    top, *inner = module.split(".")
    if not inner:
        spec = importlib.util.find_spec(top) if top else None
        return Path(spec.origin) if spec and spec.has_location and spec.origin else None
    for folder in package_folders(top):
        place = folder.joinpath(*inner)
        for path in (place.parent / f"{place.name}.py", place / "__init__.py"):
            if path.is_file():
                return path
    return None
