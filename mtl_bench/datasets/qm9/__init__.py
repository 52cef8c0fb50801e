"""QM9: eleven properties of 130,831 molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtl_bench.datasets.qm9.dataset import QM9

__all__ = ["QM9"]


def __getattr__(name: str) -> type[QM9]:
    """Import the class when it is asked for: ``mtl-bench data`` and its processes need no torch."""
    if name == "QM9":
        from mtl_bench.datasets.qm9.dataset import QM9

        return QM9
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
