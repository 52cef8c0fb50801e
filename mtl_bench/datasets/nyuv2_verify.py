"""The thorough check of a data set in the npy layout of NYU-v2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mtl_bench.datasets.npy import map_npy
from mtl_bench.datasets.nyuv2_layout import (
    PARTS,
    Folder,
    Scan,
    describe_frame,
    frame_path,
    scan,
    value_faults,
)
from mtl_bench.datasets.nyuv2_write import changed_parts
from mtl_bench.datasets.remedies import data_words


def verify(folder: Path) -> list[str]:
    """Check names, headers and every value of all frames; with a manifest, every byte.

    Returns:
        One line per fault; empty means that the data set is complete and as it has to be.
    """
    if not folder.is_dir():
        return [
            f"{folder} is missing: `{data_words('synth', 'nyuv2', folder)}` makes procedural "
            f"rooms, `{data_words('prepare', 'nyuv2', folder, 'mat=FILE')}` the real data set"
        ]
    found = scan(folder)
    if found.faults:
        return found.faults + list(_value_faults(folder, found))
    return list(_value_faults(folder, found)) or list(changed_parts(folder, found))


def _value_faults(root: Path, found: Scan) -> Iterator[str]:
    for folder, count in found.counts.items():
        for index in range(count):
            for part in PARTS:
                yield from _file_faults(root, folder, part, index)


def _file_faults(root: Path, folder: Folder, part: str, index: int) -> Iterator[str]:
    path = frame_path(root, folder, part, index)
    try:
        values = map_npy(path)
    except (OSError, ValueError):
        return  # the scan has said so
    if values.dtype.kind == "f" and values.shape[2:] == PARTS[part]:
        for fault in value_faults(part, values):
            yield f"{describe_frame(path)}: {fault}"
