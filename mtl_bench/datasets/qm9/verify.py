"""The thorough check of a prepared QM9 data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mtl_bench.datasets.qm9.targets import MOLECULES, TARGETS
from mtl_bench.datasets.store.cache import open_cache, verify_files
from mtl_bench.errors import DataError

TYPES = {
    "numbers": np.uint8,
    "hydrogens": np.uint8,
    "positions": np.float32,
    "atom_offsets": np.int64,
    "bonds": np.uint8,
    "targets": np.float64,
    "index": np.int32,
}
"""Arrays of the cache, see `prepare`."""

ATOMS_MIN, ATOMS_MAX = 3, 29
HEAVY_MAX = 9
INDEX_MAX = 133_885
DISTANCE_MIN, DISTANCE_MAX, BOND_MAX = 0.9, 20.0, 2.2
"""Å; the closest pair of atoms, the farthest pair, the longest bond."""


def verify(folder: Path) -> list[str]:
    """Check the prepared QM9 data set thoroughly: every byte, then what the numbers must fulfil.

    Returns:
        One line per fault; empty means that the cache is complete and intact.
    """
    try:
        cache = open_cache(folder, "qm9", every_byte=False)
    except DataError as error:
        return [str(error)]
    changed = verify_files(folder)
    if (fault := layout_fault(cache.arrays)) is not None:
        return [*changed, f"{folder}: {fault}"]
    return changed + list(_faults(cache.arrays))


def layout_fault(arrays: dict[str, np.ndarray]) -> str | None:
    """Return why arrays can't be those of QM9, or None; values are looked at as far as they index.

    Whoever can write the folder can write a manifest that fits, so a reader can't rely on it.
    """
    for name, kind in TYPES.items():
        if name not in arrays:
            return f"there is no array {name}"
        if arrays[name].dtype != kind:
            return f"{name}: type {arrays[name].dtype} instead of {np.dtype(kind)}"
    offsets = arrays["atom_offsets"]
    sizes_M = np.diff(offsets) if offsets.ndim == 1 else np.zeros(0)
    if len(sizes_M) == 0 or offsets[0] != 0 or sizes_M.min() < ATOMS_MIN:
        return f"atom_offsets: molecules with fewer than {ATOMS_MIN} atoms, or none"
    if sizes_M.max() > ATOMS_MAX:
        return f"atom_offsets: molecules with more than {ATOMS_MAX} atoms"
    atoms = int(offsets[-1])
    expected = {
        "numbers": (atoms,),
        "hydrogens": (atoms,),
        "positions": (atoms, 3),
        "bonds": (int((sizes_M**2).sum()),),
        "targets": (len(sizes_M), len(TARGETS)),
        "index": (len(sizes_M),),
    }
    if misshapen := [name for name, shape in expected.items() if arrays[name].shape != shape]:
        return f"{', '.join(misshapen)}: lengths don't agree with atom_offsets"
    return None


def _faults(arrays: dict[str, np.ndarray]) -> Iterator[str]:
    offsets, index_M, targets_MK = arrays["atom_offsets"], arrays["index"], arrays["targets"]
    sizes_M = np.diff(offsets)
    if len(index_M) != MOLECULES:
        yield f"index: {len(index_M)} molecules, the complete set has {MOLECULES}"
    if index_M[0] < 1 or index_M[-1] > INDEX_MAX or not (np.diff(index_M) > 0).all():
        yield f"index: not increasing from 1 to {INDEX_MAX}"
    if not np.isin(arrays["numbers"], (1, 6, 7, 8, 9)).all():
        yield "numbers: elements other than H, C, N, O, F"
    yield from _target_faults(targets_MK)
    for size in np.unique(sizes_M):
        for name, bad in _geometry_faults(arrays, np.flatnonzero(sizes_M == size), int(size)):
            if bad.any():
                first = index_M[sizes_M == size][bad][0]
                yield f"{name}: {bad.sum()} molecules of {size} atoms, the first is number {first}"


def _target_faults(targets_MK: np.ndarray) -> Iterator[str]:
    """Compare with the known moments, to a thousandth of the spread."""
    for target, values_M in zip(TARGETS, targets_MK.T, strict=True):
        if not np.isfinite(values_M).all():
            yield f"targets: {target.name} has values that are not finite"
            continue
        mean, std = values_M.mean(), values_M.std(ddof=1)
        if max(abs(mean - target.mean), abs(std - target.std)) > 1e-3 * target.std:
            yield (
                f"targets: {target.name} has mean {mean:.6g} and standard deviation {std:.6g} "
                f"{target.unit}, known are {target.mean:.6g} and {target.std:.6g}"
            )


def _geometry_faults(
    arrays: dict[str, np.ndarray], rows: np.ndarray, size: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (what is wrong, which of the molecules) for the B molecules ``rows`` of one size N."""
    offsets = arrays["atom_offsets"]
    pair_offsets = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    atoms_BN = offsets[rows][:, None] + np.arange(size)
    bonds_BNN = arrays["bonds"][pair_offsets[rows][:, None] + np.arange(size**2)]
    bonds_BNN = bonds_BNN.reshape(-1, size, size)
    numbers_BN = arrays["numbers"][atoms_BN]
    positions_BN3 = arrays["positions"][atoms_BN]
    distances_BNN = np.linalg.norm(positions_BN3[:, :, None] - positions_BN3[:, None], axis=-1)
    off_diagonal_NN = ~np.eye(size, dtype=bool)
    hydrogens_BN = ((bonds_BNN > 0) & (numbers_BN == 1)[:, None]).sum(axis=2)

    yield "positions: not finite", ~np.isfinite(positions_BN3).all(axis=(1, 2))
    pairs = distances_BNN[:, off_diagonal_NN]
    yield "positions: atoms too close", (pairs < DISTANCE_MIN).any(axis=1)
    yield "positions: atoms too far apart", (pairs > DISTANCE_MAX).any(axis=1)
    yield "numbers: too many heavy atoms", (numbers_BN != 1).sum(axis=1) > HEAVY_MAX
    yield "bonds: not symmetric", (bonds_BNN != bonds_BNN.transpose(0, 2, 1)).any(axis=(1, 2))
    yield "bonds: an atom bonded to itself", bonds_BNN[:, ~off_diagonal_NN].any(axis=1)
    yield "bonds: orders above 3", (bonds_BNN > 3).any(axis=(1, 2))
    yield "bonds: too long", ((bonds_BNN > 0) & (distances_BNN > BOND_MAX)).any(axis=(1, 2))
    yield "bonds: an atom without any", (~bonds_BNN.any(axis=2)).any(axis=1)
    yield (
        "hydrogens: not those of bonds",
        (arrays["hydrogens"][atoms_BN] != hydrogens_BN).any(axis=1),
    )
