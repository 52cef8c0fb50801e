"""Reader of the raw files that PyTorch Geometric's QM9 class downloads."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtl_bench.datasets.qm9.sources import MEV, Molecules, existing, offsets_of
from mtl_bench.datasets.qm9.targets import ELEMENTS, HARTREE_IN_EV, KCAL_PER_MOL_IN_EV
from mtl_bench.datasets.store.download import download, extract_members
from mtl_bench.errors import DataError
from mtl_bench.files import sha256_of

ARCHIVE_URL = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/molnet_publish/qm9.zip"
ARCHIVE_FILES = ("gdb9.sdf", "gdb9.sdf.csv")
EXCLUDED_URL = "https://ndownloader.figshare.com/files/3195404"
EXCLUDED_FILE = "uncharacterized.txt"
EXCLUDED_SHA256 = "3aa5115d540b356de94791d4a74c3bf1ed91c469ecf52a4f5d7cc0506fe02e24"
"""As TensorFlow Datasets has it. For the archive no published hash was found: its zip checksums,
the hashes kept in the cache's manifest and `verify` stand in for one."""


def fetch_pyg(folder: Path, report: Callable[[str], None] = print) -> None:
    """Download PyG's raw files into ``folder`` unless they are there.

    Raises:
        DataError: a download failed, or a file is not what it should be.
    """
    if not all((folder / name).exists() for name in ARCHIVE_FILES):
        archive = folder / "qm9.zip"
        if not archive.exists():
            download(ARCHIVE_URL, archive, report=report)
        extract_members(archive, ARCHIVE_FILES, folder)
        archive.unlink()
    if not (folder / EXCLUDED_FILE).exists():
        download(EXCLUDED_URL, folder / EXCLUDED_FILE, EXCLUDED_SHA256, report)


def check_pyg(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of PyG's raw files.

    Raises:
        DataError: a file is missing, or the list of excluded molecules is another one.
    """
    names = (*ARCHIVE_FILES, EXCLUDED_FILE)
    found = {name: sha256_of(existing(folder / name)) for name in names}
    if found[EXCLUDED_FILE] != EXCLUDED_SHA256:
        raise DataError(
            f"{folder / EXCLUDED_FILE} has changed: delete it and give the same command again"
        )
    return found


def read_pyg(
    folder: Path, report: Callable[[str], None] = print
) -> tuple[Molecules, list[np.ndarray]]:
    """Read PyG's raw files the way its QM9 class does: neither sanitised nor stripped of hydrogens.

    Returns:
        The molecules that are not on the list of uncharacterised ones, and the (n, n) matrix of
        bond orders of each.

    Raises:
        DataError: a file is missing or can't be parsed.
    """
    from rdkit import Chem

    excluded = _read_excluded(existing(folder / EXCLUDED_FILE))
    table = existing(folder / "gdb9.sdf.csv")
    structures = existing(folder / "gdb9.sdf")
    report(f"reading {structures}")
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (ValueError, csv.Error) as error:
        raise DataError(f"{table} can't be read: {error}") from error
    supplier = Chem.SDMolSupplier(str(structures), removeHs=False, sanitize=False)
    if len(supplier) != len(rows):
        raise DataError(f"{structures} has {len(supplier)} molecules, {table} has {len(rows)}")
    index, targets, numbers, positions, bonds = [], [], [], [], []
    for number, (row, molecule) in enumerate(zip(rows, supplier, strict=True), start=1):
        if number in excluded:
            continue
        orders = None if molecule is None else Chem.GetAdjacencyMatrix(molecule, useBO=True)
        if orders is None or not np.isin(orders, (0, 1, 2, 3)).all():
            raise DataError(f"{structures}: molecule {number} can't be read as a Kekulé structure")
        index.append(number)
        targets.append(_targets(row, table, number))
        numbers.append(np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8))
        positions.append(molecule.GetConformer().GetPositions().astype(np.float32))
        bonds.append(orders.astype(np.uint8))
        if not np.isin(numbers[-1], ELEMENTS).all():
            raise DataError(f"{structures}: molecule {number} is not of H, C, N, O and F alone")
    if not index:
        raise DataError(f"{structures} and {table} hold no molecules: fetch them again")
    molecules = Molecules(
        np.array(index, np.int32),
        np.concatenate(numbers),
        np.concatenate(positions),
        offsets_of([len(atoms) for atoms in numbers]),
        np.array(targets),
    )
    return molecules, bonds


COLUMNS: dict[str, float] = {
    "mu": 1.0,
    "alpha": 1.0,
    "homo": HARTREE_IN_EV * MEV,
    "lumo": HARTREE_IN_EV * MEV,
    "r2": 1.0,
    "zpve": HARTREE_IN_EV * MEV,
    "u0_atom": KCAL_PER_MOL_IN_EV * MEV,
    "u298_atom": KCAL_PER_MOL_IN_EV * MEV,
    "h298_atom": KCAL_PER_MOL_IN_EV * MEV,
    "g298_atom": KCAL_PER_MOL_IN_EV * MEV,
    "cv": 1.0,
}
"""Columns of gdb9.sdf.csv in the order of TARGETS, and their factor to reported units."""


def _targets(row: dict[str, str], table: Path, number: int) -> list[float]:
    try:
        values = [float(row[name]) * factor for name, factor in COLUMNS.items()]
        if not np.isfinite(values).all():
            raise ValueError("a value is not finite")
        return values
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{table}: molecule {number} can't be read: {error!r}") from error


def _read_excluded(path: Path) -> set[int]:
    """Return the numbers at the start of the lines that begin with one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {int(words[0]) for line in lines if (words := line.split()) and words[0].isdigit()}
