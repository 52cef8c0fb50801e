"""How methods are shown: the section ``display`` of ``configs/method/NAME.yaml``."""

from __future__ import annotations

from functools import cache
from typing import Any

from mtl_bench.config.groups import Source, find_choices, find_field, find_sources
from mtl_bench.errors import ConfigError

BETWEEN = 50
"""Order of methods whose file gives none."""


def find_display(group: str, name: str) -> dict[str, Any]:
    """Return the section of a method or an ablation; empty where its file has none.

    Raises:
        ConfigError: it is no mapping.
    """
    return dict(_display(group, name, find_sources()))


@cache
def _display(group: str, name: str, _: tuple[Source, ...]) -> dict[str, Any]:
    """Read what is installed once; it stays as it is while ``sys.path`` does."""
    key = "display"
    display = find_field(group, name, key) or {}
    if not isinstance(display, dict):
        raise ConfigError(f"{find_choices(group)[name].path}: {key}={display}: must be a mapping")
    return display


def method_name(method: str) -> str:
    """Return what tables of a paper call a method."""
    return str(find_display("method", method).get("name", method))


def row_order(method: str, name: str) -> tuple[int, str]:
    """Sort key of a table's rows: by the order that methods have, then by name."""
    order = find_display("method", method).get("order", BETWEEN)
    return (order if isinstance(order, int) else BETWEEN), name
