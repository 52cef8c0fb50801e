"""Random molecules for tests: complete graphs with symmetric bonds, no chemistry in them."""

import numpy as np

from mtl_bench.datasets.molecules import MoleculeStore


def random_store(sizes, tasks=("a", "b", "c"), seed=0):
    """Build a store of molecules of the given sizes with standard-normal targets."""
    rng = np.random.default_rng(seed)
    atoms = int(np.sum(sizes))
    bonds = []
    for n in sizes:
        upper = np.triu((rng.random((n, n)) < 0.3) * rng.integers(1, 4, (n, n)), 1)
        bonds.append((upper + upper.T).astype(np.uint8).ravel())
    arrays = {
        "numbers": rng.choice([1, 6, 7, 8, 9], atoms).astype(np.uint8),
        "hydrogens": rng.integers(0, 4, atoms).astype(np.uint8),
        "positions": rng.normal(size=(atoms, 3)).astype(np.float32) * 2,
        "atom_offsets": np.concatenate([[0], np.cumsum(sizes)]),
        "bonds": np.concatenate(bonds),
    }
    targets = rng.normal(size=(len(sizes), len(tasks))).astype(np.float32)
    return MoleculeStore(arrays, targets, tuple(tasks))
