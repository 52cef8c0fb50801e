"""The eleven targets of the QM9 benchmark and how they are made from the raw columns.

Nothing here needs torch, so that listings and the preparation stay light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOLECULES = 130_831
"""QM9 has 133,885; 3,054 failed the authors' consistency check and are left out everywhere."""

HARTREE_IN_EV = 27.211386246
KCAL_PER_MOL_IN_EV = 0.04336414
"""Both constants are those of PyTorch Geometric's QM9 class, digit for digit."""

ELEMENTS = np.array([1, 6, 7, 8, 9])
"""Atomic numbers of H, C, N, O, F: the columns of `ATOM_ENERGIES`."""

ATOM_ENERGIES = np.array(
    [
        [-13.61312172, -1029.86312267, -1485.30251237, -2042.61123593, -2713.48485589],
        [-13.5745904, -1029.82456413, -1485.26398105, -2042.5727046, -2713.44632457],
        [-13.54887564, -1029.79887659, -1485.2382935, -2042.54701705, -2713.42063702],
        [-13.90303183, -1030.25891228, -1485.71166277, -2043.01812778, -2713.88796536],
    ]
)
"""Energies of the free atoms in eV; rows U0, U, H, G."""


@dataclass(frozen=True)
class Target:
    """One regression target.

    Args:
        name: key in configs and records.
        label: what tables print.
        unit: unit of the cached values and of the reported mean absolute error.
        decimals: digits after the point in tables.
        reference: published single-task mean absolute error in ``unit`` (Navon et al., ICML 2022;
            reused by FAMO, IGB and TaskForce).
        mean: mean over the 130,831 molecules, in ``unit``.
        std: unbiased standard deviation over the 130,831 molecules, in ``unit``.
    """

    name: str
    label: str
    unit: str
    decimals: int
    reference: float
    mean: float
    std: float


TARGETS = (
    Target("mu", "μ", "D", 3, 0.0671, 2.67295, 1.50348),
    Target("alpha", "α", "a₀³", 3, 0.1814, 75.28119, 8.17383),
    Target("homo", "ε_HOMO", "meV", 2, 60.576, -6536.45, 597.74),
    Target("lumo", "ε_LUMO", "meV", 2, 53.915, 322.04, 1274.86),
    Target("r2", "⟨R²⟩", "a₀²", 3, 0.5027, 1189.4106, 280.47816),
    Target("zpve", "ZPVE", "meV", 2, 4.539, 4056.94, 901.72),
    Target("u0", "U₀", "meV", 1, 58.838, -76116.09, 10323.75),
    Target("u298", "U", "meV", 1, 64.244, -76580.57, 10415.17),
    Target("h298", "H", "meV", 1, 63.852, -77018.34, 10489.27),
    Target("g298", "G", "meV", 1, 66.223, -70836.74, 9498.34),
    Target("cv", "c_v", "cal/(mol K)", 3, 0.07212, 31.62036, 4.06758),
)
"""In the order of PyG's indices 0, 1, 2, 3, 5, 6, 12, 13, 14, 15, 11. U, H and G are at 298.15 K;
the four energies U₀, U, H, G are atomisation energies."""


def atomisation_energies(totals_M4: np.ndarray, atom_counts_M5: np.ndarray) -> np.ndarray:
    """Subtract the energies of the free atoms.

    Shapes: M molecules, 4 energies (U0, U, H, G), 5 elements (`ELEMENTS`).

    Args:
        totals_M4: total energies in eV.
        atom_counts_M5: atoms of each element.

    Returns:
        (M, 4) atomisation energies in eV, negative for bound molecules.
    """
    return totals_M4 - atom_counts_M5 @ ATOM_ENERGIES.T
