"""Names of a package whose modules are imported when a name is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_exports(
    package: str, names: Sequence[str], homes: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    A class ``MGDA`` is in the package's module ``mgda``, listed or not.

    Args:
        package: its ``__name__``.
        names: what ``dir`` shows, for completion: ``__all__``.
        homes: name -> module of the package, for those that another module defines.
    """
    homes = homes or {}

    def getattribute(name: str) -> Any:  # noqa: ANN401 - a class, a function
        module = f"{package}.{homes.get(name, name.lower())}"
        if name in homes or (name != name.lower() and find_spec(module) is not None):
            return getattr(import_module(module), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattribute, lambda: sorted({*vars(import_module(package)), *names})
