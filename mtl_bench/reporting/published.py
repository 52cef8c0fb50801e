"""The paper's tables, as printed."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from mtl_bench.reporting.comparison import Setting

NAMES = {
    "stl": "STL",
    "ls": "LS",
    "rlw": "RLW",
    "dwa": "DWA",
    "uw": "UW",
    "mgda": "MGDA",
    "graddrop": "GradDrop",
    "pcgrad": "PCGrad",
    "cagrad": "CAGrad",
    "igbv2": "IGBv2",
    "imtl": "IMTL",
    "nashmtl": "NashMTL",
    "alignedmtl": "Aligned-MTL",
    "taskforce": "TaskForce",
}
"""Method -> what the paper's tables call it, in their order."""

ARCHITECTURES = {"nyuv2": "mtan", "cityscapes": "pspnet", "qm9": "mpnn"}
"""Data set -> the network of the paper's main table on it."""

MAIN_TABLES = {
    "nyuv2": "table1_nyuv2.csv",
    "cityscapes": "table2_cityscapes.csv",
    "qm9": "table2_qm9.csv",
}
"""Data set -> the table with all methods on it."""


@cache
def read_published(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a published table."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "published"
    folder = installed if installed.is_dir() else package.parent / "results" / "published"
    with (folder / name).open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def has_published(setting: Setting) -> bool:
    """Tell whether the paper has numbers for a data set and network; drawn data have none."""
    known = ARCHITECTURES.get(setting.dataset) == setting.architecture
    return known and setting.data_kind == "real"


def published_delta(setting: Setting, label: str) -> str | None:
    """Return the printed Δm of a method, if the paper has one for this data set and network."""
    if not has_published(setting) or label not in NAMES:
        return None
    rows = read_published(MAIN_TABLES[setting.dataset])
    return next(row["delta_m"] for row in rows if row["method"] == NAMES[label])
