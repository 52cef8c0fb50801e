"""NYU-v2 from its official file, or procedural rooms in its place; see data/README.md."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtl_bench.advice import data_command
from mtl_bench.datasets.nyuv2.layout import (
    PARTS,
    Scan,
    describe_frame,
    frame_path,
    how_to_get,
    require,
    scan,
    value_doubts,
    value_faults,
)
from mtl_bench.datasets.nyuv2.mat import HEIGHT, WIDTH, ReadFrame, check_mat, split_frames
from mtl_bench.datasets.nyuv2.write import changed_parts, up_to_date, write_frames
from mtl_bench.datasets.procedural.rooms.synth import synth
from mtl_bench.datasets.store.npy import map_npy
from mtl_bench.datasets.store.preparation import report_doubts
from mtl_bench.errors import DataError, warn
from mtl_bench.values import PositiveInt

__all__ = ["prepare", "remedy", "require", "synth", "verify"]

FILE = "nyu_depth_v2_labeled.mat"
COMPUTED, GIVEN = "computed from depth", "given"
PAGE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"


def prepare(
    folder: Path,
    mat: Path | None = None,
    normals: Path | None = None,
    jobs: PositiveInt | None = None,
    *,
    report: Callable[[str], None] = print,
    subset: int | None = None,
) -> dict[str, Any]:
    """Convert the official labelled file to npy files, unless it is done already.

    Args:
        folder: where the data set goes.
        mat: nyu_depth_v2_labeled.mat; default raw/nyuv2 beside ``folder``.
        normals: folder with the normals of each frame, see `mat.ReadFrame`; default to
            compute them from depth. The published tables use other, precomputed normals, so errors
            against computed ones are not comparable with them.
        jobs: processes; default the usable cores.
        report: gets a few lines of progress.
        subset: convert only that many frames of each folder, for tests.

    Returns:
        The manifest.

    Raises:
        DataError: the file is missing or another one, h5py is missing, or ``folder`` holds files
            from elsewhere.
        MtlBenchError: the disk is full or can't be written; what was there is kept.
    """
    mat = mat or folder.parent / "raw" / "nyuv2" / FILE
    if not mat.is_file():
        raise DataError(
            f"{mat} is missing: fetch {FILE} (2.8 GB, the labelled part) from {PAGE} and give "
            f"mat=FILE, or make procedural rooms with `{data_command('synth', 'nyuv2', folder)}`"
        )
    if importlib.util.find_spec("h5py") is None:
        raise DataError("h5py is missing, the file needs it: pip install 'mtl_bench[nyuv2]'")
    frames = {name: ids[:subset] for name, ids in split_frames(check_mat(mat)).items()}
    counts = {name: len(ids) for name, ids in frames.items()}
    facts = {
        "kind": "real",
        "source": f"{FILE}, normals {COMPUTED if normals is None else GIVEN}",
        "bytes": mat.stat().st_size,
        "height": HEIGHT,
        "width": WIDTH,
        "frames": counts,
    }
    if (manifest := up_to_date(folder, facts)) is not None:
        report(f"NYU-v2 is already prepared in {folder}")
        return manifest
    report(f"converting {mat}")
    read = ReadFrame(mat, frames, normals)
    manifest = write_frames(folder, read, counts, facts, jobs, report)
    report(f"NYU-v2 is prepared in {folder}")
    return manifest


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


def remedy(folder: Path) -> str:
    """Return how to get files that have faults again."""
    if not folder.is_dir():
        return how_to_get(folder)
    manifest = scan(folder).manifest
    if manifest is None:
        return "get what is named again from where the data set came"
    if manifest["kind"] == "procedural":
        sizes = {key: manifest.get(key) for key in ("height", "width", "seed")}
        again = data_command("synth", "nyuv2", folder, **manifest["frames"], **sizes)
    else:
        normals = "DIR" if manifest["source"].endswith(GIVEN) else None
        again = data_command("prepare", "nyuv2", folder, mat="FILE", normals=normals)
    return f"run `{again}`"


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
