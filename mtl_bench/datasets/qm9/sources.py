"""Raw QM9 molecules in columns, and the reader of the qm9pack package's CSV files.

The package's own loader can't be imported (it needs pkg_resources), so the files are read directly.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_bench.datasets.qm9.targets import ELEMENTS, HARTREE_IN_EV, atomisation_energies
from mtl_bench.errors import DataError
from mtl_bench.files import sha256_of

MEV = 1000.0
"""meV in an eV."""

QM9PACK_FILES = {
    "qm9_part1.csv": "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
    "qm9_part2.csv": "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
    "qm9_part3.csv": "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
}
"""SHA-256 of the files in qm9pack 1.0.3."""

# Shapes: M molecules, A atoms of all of them, K = 11 targets.


@dataclass(frozen=True)
class Molecules:
    """Molecules in columns, atoms one molecule after another.

    Args:
        index_M: int32, number in QM9, 1..133885.
        numbers_A: uint8 atomic numbers.
        positions_A3: float32, Å.
        atom_offsets: int64 (M + 1,), first atom of each molecule.
        targets_MK: float64 in the order and units of `targets.TARGETS`.
    """

    index_M: np.ndarray
    numbers_A: np.ndarray
    positions_A3: np.ndarray
    atom_offsets: np.ndarray
    targets_MK: np.ndarray


def find_qm9pack() -> Path:
    """Return the data folder of the installed qm9pack package without importing it.

    Raises:
        DataError: the package is not installed.
    """
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the QM9 data package qm9pack is missing: pip install 'mtl_bench[qm9]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def check_qm9pack(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each CSV file.

    Raises:
        DataError: a file is missing or is not the one of qm9pack 1.0.3.
    """
    found = {name: sha256_of(existing(folder / name)) for name in QM9PACK_FILES}
    for name, sha256 in QM9PACK_FILES.items():
        if found[name] != sha256:
            raise DataError(
                f"{folder / name} is not the file of qm9pack 1.0.3 (SHA-256 {found[name]}): "
                "pip install --force-reinstall qm9pack==1.0.3"
            )
    return found


def read_qm9pack(
    folder: Path, report: Callable[[str], None] = print
) -> tuple[Molecules, list[str]]:
    """Read the CSV files of qm9pack.

    The energies are total ones there; the free atoms are subtracted here. Coordinates keep all the
    digits of the original files (PyG's SDF has four decimals).

    Returns:
        The molecules and the SMILES of each.

    Raises:
        DataError: a file is missing or can't be parsed.
    """
    parts: list[Molecules] = []
    smiles: list[str] = []
    for name in QM9PACK_FILES:
        path = existing(folder / name)
        report(f"reading {path}")
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = csv.reader(stream)
                header = next(rows)
                columns = dict(zip(header, zip(*rows, strict=True), strict=True))
            parts.append(_qm9pack_molecules(columns))
            smiles.extend(columns["SMILES"])
        except (ValueError, KeyError, StopIteration, csv.Error) as error:
            raise DataError(f"{path} is not a table of qm9pack: {error!r}") from error
    return _concatenate(parts), smiles


def _qm9pack_molecules(columns: dict[str, tuple[str, ...]]) -> Molecules:
    def floats(name: str) -> np.ndarray:
        return np.array(columns[name], np.float64)

    # "['C','H']" -> b"CH": what is left after dropping punctuation is one letter an atom.
    letters = "".join(columns["Elements"]).translate(str.maketrans("", "", "[]', "))
    numbers_A = _NUMBER_OF_LETTER[np.frombuffer(letters.encode("ascii"), np.uint8)]
    if not numbers_A.all():
        raise ValueError(f"unknown elements among {sorted(set(letters))}")
    # Mathematica writes 1*^-6 for 1e-6.
    text = ",".join(columns["XYZ_Ang"]).translate(str.maketrans("", "", "[]")).replace("*^", "e")
    positions_A3 = np.array(text.split(","), np.float64).reshape(-1, 3)
    atom_offsets = offsets_of(np.array(columns["N_atoms"], np.int64))
    if not atom_offsets[-1] == len(numbers_A) == len(positions_A3):
        raise ValueError("N_atoms, Elements and XYZ_Ang disagree")

    counts_M5 = np.stack(
        [
            np.add.reduceat((numbers_A == element).astype(np.int64), atom_offsets[:-1])
            for element in ELEMENTS
        ],
        axis=1,
    )
    totals_M4 = HARTREE_IN_EV * np.stack(
        [
            floats("InternalEnergy_0K_au"),
            floats("InternalEnergy_298K_au"),
            floats("Enthalphy_298K_au"),
            floats("GibbsFreeEnergy_298K_au"),
        ],
        axis=1,
    )
    targets = [
        floats("Dipole_debye"),
        floats("Polarizability_bohr3"),
        floats("HOMO_au") * HARTREE_IN_EV * MEV,
        floats("LUMO_au") * HARTREE_IN_EV * MEV,
        floats("R2_bohr2"),
        floats("ZPVE_au") * HARTREE_IN_EV * MEV,
        *(MEV * atomisation_energies(totals_M4, counts_M5)).T,
        floats("Heatcapacity_Cv_cal_mol_K"),
    ]
    return Molecules(
        np.array(columns["Index"], np.int32),
        numbers_A,
        positions_A3.astype(np.float32),
        atom_offsets,
        np.stack(targets, axis=1),
    )


_NUMBER_OF_LETTER = np.zeros(256, np.uint8)
_NUMBER_OF_LETTER[np.frombuffer(b"HCNOF", np.uint8)] = ELEMENTS


def offsets_of(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where each of consecutive blocks begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _concatenate(parts: list[Molecules]) -> Molecules:
    return Molecules(
        np.concatenate([part.index_M for part in parts]),
        np.concatenate([part.numbers_A for part in parts]),
        np.concatenate([part.positions_A3 for part in parts]),
        offsets_of(np.concatenate([np.diff(part.atom_offsets) for part in parts])),
        np.concatenate([part.targets_MK for part in parts]),
    )


def existing(path: Path) -> Path:
    """Return ``path`` if it is a file; DataError if not."""
    if not path.is_file():
        raise DataError(
            f"{path} is missing: name the folder that has the raw files, or fetch them again"
        )
    return path
