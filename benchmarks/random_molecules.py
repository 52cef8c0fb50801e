"""Molecules without chemistry in the layout and sizes of QM9, where QM9 itself is not at hand.

What a training step costs depends on their sizes alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.datasets.store.cache import write_cache

SMALLEST = 3

COUNTS = (
    *(2, 4, 5, 12, 20, 65, 172, 483, 1053, 2189, 4027, 6758, 10216, 13824, 16969, 17442, 18146),
    *(12403, 13166, 4428, 6362, 712, 1923, 59, 356, 0, 35),
)
"""Molecules of 3, 4, ..., 29 atoms in QM9."""

BONDED = 0.1
"""Share of the pairs that have a bond."""


def write_molecules(data: Path, molecules: int) -> None:
    """Build ``data/qm9`` from so many molecules; 20,000 of them are held out."""
    rng = np.random.default_rng(0)
    shares = np.array(COUNTS) / sum(COUNTS)
    sizes_M = SMALLEST + rng.choice(len(COUNTS), molecules, p=shares)
    atoms = int(sizes_M.sum())
    bonds = []
    for n in sizes_M:
        upper_nn = np.triu(rng.random((n, n)) < BONDED, 1)
        bonds.append((upper_nn + upper_nn.T).astype(np.uint8).ravel())
    arrays: dict[str, np.ndarray] = {
        "numbers": rng.choice([1, 6, 7, 8, 9], atoms).astype(np.uint8),
        "hydrogens": rng.integers(0, 4, atoms).astype(np.uint8),
        "positions": rng.normal(size=(atoms, 3)).astype(np.float32),
        "atom_offsets": np.concatenate([[0], np.cumsum(sizes_M)]),
        "bonds": np.concatenate(bonds),
        "targets": rng.normal(size=(molecules, len(TARGETS))),
        "index": np.arange(1, molecules + 1, dtype=np.int32),
    }
    write_cache(data / "qm9", arrays, {"dataset": "qm9", "source": "random"})
