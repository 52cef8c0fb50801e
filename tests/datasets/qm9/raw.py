"""Small raw QM9 folders for tests: the first molecules of the data set in both source formats."""

import csv
import importlib.util
from itertools import islice
from pathlib import Path

import pytest

from mtl_bench.datasets.qm9.sources import QM9PACK_FILES, find_qm9pack

# QM9 1..5 and 23: the first molecules, and one whose SMILES isn't in the order of the geometry.
ROWS = [
    {
        "Index": "1",
        "SMILES": "C",
        "N_atoms": "5",
        "Elements": "['C','H','H','H','H']",
        "XYZ_Ang": "[[-0.0126981359,1.0858041578,0.0080009958],"
        "[0.002150416,-0.0060313176,0.0019761204],[1.0117308433,1.4637511618,0.0002765748],"
        "[-0.540815069,1.4475266138,-0.8766437152],[-0.5238136345,1.4379326443,0.9063972942]]",
        "Dipole_debye": "0.",
        "Polarizability_bohr3": "13.21",
        "HOMO_au": "-0.3877",
        "LUMO_au": "0.1171",
        "R2_bohr2": "35.3641",
        "ZPVE_au": "0.044749",
        "InternalEnergy_0K_au": "-40.47893",
        "InternalEnergy_298K_au": "-40.476062",
        "Enthalphy_298K_au": "-40.475117",
        "GibbsFreeEnergy_298K_au": "-40.498597",
        "Heatcapacity_Cv_cal_mol_K": "6.469",
    },
    {
        "Index": "2",
        "SMILES": "N",
        "N_atoms": "4",
        "Elements": "['N','H','H','H']",
        "XYZ_Ang": "[[-0.0404260543,1.0241077531,0.0625637998],"
        "[0.0172574639,0.0125452063,-0.0273771593],[0.9157893661,1.3587451948,-0.0287577581],"
        "[-0.5202777357,1.3435321258,-0.7755426124]]",
        "Dipole_debye": "1.6256",
        "Polarizability_bohr3": "9.46",
        "HOMO_au": "-0.257",
        "LUMO_au": "0.0829",
        "R2_bohr2": "26.1563",
        "ZPVE_au": "0.034358",
        "InternalEnergy_0K_au": "-56.525887",
        "InternalEnergy_298K_au": "-56.523026",
        "Enthalphy_298K_au": "-56.522082",
        "GibbsFreeEnergy_298K_au": "-56.544961",
        "Heatcapacity_Cv_cal_mol_K": "6.316",
    },
    {
        "Index": "5",
        "SMILES": "C#N",
        "N_atoms": "3",
        "Elements": "['C','N','H']",
        # One coordinate in the notation of the original xyz files.
        "XYZ_Ang": "[[-1.33239314*^-2,1.1324657151,0.0082758861],"
        "[0.0023107217,-0.0191585871,0.0019287305],[-0.0278026991,2.1989492963,0.0141537903]]",
        "Dipole_debye": "2.8937",
        "Polarizability_bohr3": "12.99",
        "HOMO_au": "-0.3604",
        "LUMO_au": "0.0191",
        "R2_bohr2": "48.7476",
        "ZPVE_au": "0.016601",
        "InternalEnergy_0K_au": "-93.411888",
        "InternalEnergy_298K_au": "-93.40937",
        "Enthalphy_298K_au": "-93.408425",
        "GibbsFreeEnergy_298K_au": "-93.431246",
        "Heatcapacity_Cv_cal_mol_K": "6.278",
    },
    {
        "Index": "23",
        "SMILES": "C#CC#C",
        "N_atoms": "6",
        "Elements": "['C','C','C','C','H','H']",
        "XYZ_Ang": "[[0.680980206,0.,0.],[-0.680980206,0.,0.],[-1.8876660283,0.,0.],"
        "[1.8876660283,0.,0.],[-2.9495999954,0.,0.],[2.9495999954,0.,0.]]",
        "Dipole_debye": "0.",
        "Polarizability_bohr3": "38.52",
        "HOMO_au": "-0.2599",
        "LUMO_au": "-0.0214",
        "R2_bohr2": "278.6264",
        "ZPVE_au": "0.037354",
        "InternalEnergy_0K_au": "-153.459846",
        "InternalEnergy_298K_au": "-153.455442",
        "Enthalphy_298K_au": "-153.454498",
        "GibbsFreeEnergy_298K_au": "-153.482621",
        "Heatcapacity_Cv_cal_mol_K": "15.312",
    },
]


def write_qm9pack(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Spread rows over the three CSV files of the package."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [0, 1, 2, len(rows)]
    for name, first, last in zip(QM9PACK_FILES, bounds[:-1], bounds[1:], strict=True):
        with (folder / name).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0].keys(), quoting=csv.QUOTE_NONNUMERIC)
            writer.writeheader()
            writer.writerows(rows[first:last])
    return folder


def installed_rows(count: int) -> list[dict[str, str]]:
    """Return the first molecules of each file of the installed package, or skip the test."""
    if importlib.util.find_spec("qm9pack") is None:
        pytest.skip("needs the package qm9pack: pip install 'mtl_bench[qm9]'")
    rows = []
    for name in QM9PACK_FILES:
        with (find_qm9pack() / name).open(newline="", encoding="utf-8") as stream:
            rows += islice(csv.DictReader(stream), count)
    return rows
