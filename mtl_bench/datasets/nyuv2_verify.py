"""The thorough check of a data set in the npy layout of NYU-v2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mtl_bench.datasets.doubts import report_doubts
from mtl_bench.datasets.npy import map_npy
from mtl_bench.datasets.nyuv2_layout import (
    PARTS,
    Scan,
    describe_frame,
    frame_path,
    scan,
    value_doubts,
    value_faults,
)
from mtl_bench.datasets.nyuv2_write import changed_parts
from mtl_bench.errors import warn


def verify(folder: Path, *, report: Callable[[str], None] = warn) -> list[str]:
    """Check names, headers and every value of all frames; with a manifest, every byte.

    Args:
        folder: the data set.
        report: gets a line about what is odd and can be right.

    Returns:
        One line per fault; empty means that the data set is complete and as it has to be.
    """
    if not folder.is_dir():
        return [f"{folder} is missing"]
    found = scan(folder)
    faults, doubts = _check_values(folder, found)
    report_doubts(folder, doubts, report)
    return found.faults + faults or list(changed_parts(folder, found))


def _check_values(root: Path, found: Scan) -> tuple[list[str], dict[str, list[str]]]:
    """Return the faults of all values, and doubt -> frames."""
    faults, doubts = list[str](), dict[str, list[str]]()
    for path in (
        frame_path(root, folder, part, index)
        for folder, count in found.counts.items()
        for index in range(count)
        for part in PARTS
    ):
        part = path.parent.name
        try:
            values = map_npy(path)
        except (OSError, ValueError):
            continue  # the scan has said so
        if values.dtype.kind == "f" and values.shape[2:] == PARTS[part]:
            wrong = list(value_faults(part, values))
            faults += [f"{describe_frame(path)}: {fault}" for fault in wrong]
            for doubt in () if wrong else value_doubts(part, values):
                doubts.setdefault(doubt, []).append(f"{path.parents[1].name}/{path.stem}")
    return faults, doubts
