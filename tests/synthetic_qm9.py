"""A prepared QM9 of three-atom molecules in the layout of data/README.md; no chemistry in it."""

from pathlib import Path

import numpy as np

from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.datasets.store.cache import write_cache

MOLECULES = 20_960
"""The split holds out 20,000, so that 960 are left to train on, as the profile smoke does."""

ATOMS = 3


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Return the arrays; the targets depend on the positions, so that something can be learnt."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(MOLECULES, ATOMS, 3)).astype(np.float32)
    upper = np.triu(rng.integers(0, 4, (MOLECULES, ATOMS, ATOMS)), 1)
    spread = positions.std(axis=(1, 2), dtype=np.float64)[:, None]
    return {
        "numbers": rng.choice([1, 6, 7, 8, 9], MOLECULES * ATOMS).astype(np.uint8),
        "hydrogens": rng.integers(0, 4, MOLECULES * ATOMS).astype(np.uint8),
        "positions": positions.reshape(-1, 3),
        "atom_offsets": np.arange(MOLECULES + 1) * ATOMS,
        "bonds": (upper + upper.transpose(0, 2, 1)).astype(np.uint8).ravel(),
        "targets": spread + 0.3 * rng.normal(size=(MOLECULES, len(TARGETS))),
        "index": np.arange(1, MOLECULES + 1, dtype=np.int32),
    }


def write(data: Path, **changed: np.ndarray) -> Path:
    """Build ``data/qm9`` and return ``data``."""
    write_cache(data / "qm9", arrays() | changed, {"dataset": "qm9", "source": "synthetic"})
    return data
