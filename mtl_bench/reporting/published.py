"""Tables of papers, as printed."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from mtl_bench.errors import ConfigError

FOLDERS = (("published",), ("results", "published"))
"""Where the tables are beside a folder of configs: in a package, and in our checkout."""


def find_published(configs: Path, name: str) -> Path:
    """Return the file of a published table.

    Args:
        configs: the folder of configs that names it.
        name: of the file.

    Raises:
        ConfigError: there is no such file.
    """
    paths = [configs.parent.joinpath(*folder, name) for folder in FOLDERS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(f"there is no published table {paths[0]}")
    return path


@cache
def read_published(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a published table by their first cell."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {next(iter(row.values())): row for row in rows}


def as_number(text: str) -> float | None:
    """Return a printed number, None for what is no number."""
    try:
        return float(text)
    except ValueError:
        return None
