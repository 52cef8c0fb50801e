"""From raw QM9 files to the cache that training maps into memory.

Arrays of the cache; A atoms and P ordered pairs of atoms of M molecules, one after another:

- ``numbers`` uint8 (A,): atomic numbers.
- ``hydrogens`` uint8 (A,): hydrogens bonded to each atom.
- ``positions`` float32 (A, 3): Å.
- ``atom_offsets`` int64 (M + 1,): first atom of each molecule.
- ``bonds`` uint8 (P,): each molecule's (n, n) matrix of bond orders 0..3, row by row.
- ``targets`` float64 (M, 11): in the order and units of `targets.TARGETS`.
- ``index`` int32 (M,): number of the molecule in QM9, 1..133885.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtl_bench.advice import data_command
from mtl_bench.datasets.qm9.graphs import build_bonds, count_hydrogens
from mtl_bench.datasets.qm9.pyg import check_pyg, fetch_pyg, read_pyg
from mtl_bench.datasets.qm9.sources import Molecules, check_qm9pack, find_qm9pack, read_qm9pack
from mtl_bench.datasets.qm9.targets import MOLECULES, TARGETS
from mtl_bench.datasets.qm9.verify import verify
from mtl_bench.datasets.store.cache import MANIFEST, open_cache, write_cache
from mtl_bench.errors import DataError
from mtl_bench.files import read_json
from mtl_bench.values import PositiveInt

__all__ = ["prepare", "remedy", "require", "verify"]

LAYOUT = 1
"""Goes up when the arrays or the bond rule change, so that older caches are rebuilt."""


def prepare(
    folder: Path,
    source: Literal["qm9pack", "pyg"] = "qm9pack",
    raw: Path | None = None,
    jobs: PositiveInt | None = None,
    *,
    report: Callable[[str], None] = print,
    subset: bool = False,
) -> dict[str, Any]:
    """Build the QM9 cache, unless it is there already with every byte as it was written.

    Args:
        folder: where the cache goes.
        source: ``"qm9pack"`` reads the CSV files of the package of that name and takes bonds from
            SMILES; ``"pyg"`` downloads and reads the files of PyTorch Geometric's QM9 class, bonds
            included.
        raw: folder of the raw files; default the installed package, or for
            ``"pyg"`` raw/qm9 beside ``folder``.
        jobs: processes; default the usable cores.
        report: gets a few lines of progress.
        subset: accept any selection of molecules in the raw files. For tests: such a cache does not
            pass `verify`.

    Returns:
        The manifest.

    Raises:
        DataError: a package or raw file is missing or not the known one, or a molecule can't be
            read.
        MtlBenchError: the disk is full or can't be written; an older cache is kept.
    """
    readers = {"qm9pack": _from_qm9pack, "pyg": _from_pyg}
    if (manifest := _up_to_date(folder, source, subset)) is not None:
        report(f"QM9 is already prepared from {source} in {folder}")
        return manifest
    if importlib.util.find_spec("rdkit") is None:
        raise DataError("rdkit is missing, bonds need it: pip install 'mtl_bench[qm9]'")
    jobs = jobs or len(os.sched_getaffinity(0))
    molecules, bonds_P, hydrogens_A, facts = readers[source](folder, raw, jobs, report, subset)
    if not subset and len(molecules.index_M) != MOLECULES:
        raise DataError(f"{len(molecules.index_M)} molecules in the raw files, not {MOLECULES}")
    arrays = {
        "numbers": molecules.numbers_A,
        "hydrogens": hydrogens_A,
        "positions": molecules.positions_A3,
        "atom_offsets": molecules.atom_offsets,
        "bonds": bonds_P,
        "targets": molecules.targets_MK,
        "index": molecules.index_M,
    }
    manifest = {
        "dataset": "qm9",
        "layout": LAYOUT,
        "source": source,
        "molecules": len(molecules.index_M),
        "targets": [target.name for target in TARGETS],
        "units": [target.unit for target in TARGETS],
        **facts,
    }
    report(f"writing {folder}")
    write_cache(folder, arrays, manifest)
    report(f"QM9 is prepared in {folder}: {len(molecules.index_M)} molecules")
    return open_cache(folder, "qm9").manifest


def require(folder: Path) -> None:
    """Check that the folder holds the prepared files; their contents are read by training."""
    open_cache(folder, "qm9", every_byte=False)


def remedy(folder: Path) -> str:
    """Return how to build the cache anew."""
    try:
        source = read_json(folder / MANIFEST)["source"]
    except (OSError, ValueError, KeyError, TypeError):
        source = None
    other = "pyg" if source == "pyg" else None
    return f"run `{data_command('prepare', 'qm9', folder, source=other)}`"


def _up_to_date(folder: Path, source: str, subset: bool) -> dict[str, Any] | None:
    try:
        manifest = open_cache(folder, "qm9").manifest
    except DataError:
        return None
    same = manifest.get("layout") == LAYOUT and manifest.get("source") == source
    whole = subset or manifest.get("molecules") == MOLECULES
    return manifest if same and whole else None


_Read = tuple[Molecules, np.ndarray, np.ndarray, dict[str, Any]]


def _from_qm9pack(
    folder: Path, raw: Path | None, jobs: int, report: Callable[[str], None], subset: bool
) -> _Read:
    raw = raw or find_qm9pack()
    raw_files = {} if subset else check_qm9pack(raw)
    molecules, smiles = read_qm9pack(raw, report)
    bonds = build_bonds(
        smiles,
        molecules.index_M,
        molecules.numbers_A,
        molecules.positions_A3,
        molecules.atom_offsets,
        jobs,
        report,
    )
    facts = {"raw_files": raw_files, "bond_rule": dict(sorted(bonds.ways.items()))}
    return molecules, bonds.bonds_P, bonds.hydrogens_A, facts


def _from_pyg(
    folder: Path, raw: Path | None, jobs: int, report: Callable[[str], None], subset: bool
) -> _Read:
    raw = raw or folder.parent / "raw" / "qm9"
    if not subset:
        fetch_pyg(raw, report)
    raw_files = {} if subset else check_pyg(raw)
    molecules, bonds = read_pyg(raw, report)
    atoms_M = np.split(molecules.numbers_A, molecules.atom_offsets[1:-1])
    hydrogens = [count_hydrogens(*pair) for pair in zip(bonds, atoms_M, strict=True)]
    bonds_P = np.concatenate([matrix.reshape(-1) for matrix in bonds])
    return molecules, bonds_P, np.concatenate(hydrogens), {"raw_files": raw_files}
