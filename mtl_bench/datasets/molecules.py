"""Batches of molecules as complete graphs.

Legend of shape suffixes: B molecules, A atoms of the whole batch, P ordered atom pairs of the whole
batch (n * n for a molecule of n atoms, the diagonal included), T tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mtl_bench.datasets.qm9.targets import ELEMENTS

NODE_FEATURES = 11
"""One-hot element (5), atomic number, aromatic, sp, sp2, sp3, number of bonded hydrogens."""

BOND_TYPES = 4
"""Single, double, triple, aromatic."""

CHUNK = 10_000
"""Molecules whose features are made at a time, where those of all are."""


@dataclass(frozen=True)
class MoleculeBatch:
    """Molecules sorted by their number of atoms, so that equal sizes lie side by side.

    Args:
        atoms_AF: node features, (A, 11).
        positions_A3: coordinates in Å.
        pairs_PE: edge features of every ordered pair, (P, 6): bond type one-hot (4), distance in Å
            and a constant 1, all times the pair's factor in the mean over neighbours: 1 / (n - 1)
            off the diagonal, 0 on it. Row-major per molecule and symmetric.
        slots_A: row of each atom in a (B * largest molecule) table, for padded views; the absent
            atoms of a padded batch share a row behind it.
        groups: (atoms in each molecule, number of molecules) of the runs of equal size.
        targets: task name -> (B,) standardised targets.
    """

    atoms_AF: Tensor
    positions_A3: Tensor
    pairs_PE: Tensor
    slots_A: Tensor
    groups: tuple[tuple[int, int], ...]
    targets: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        """B, the number of molecules."""
        return sum(count for _, count in self.groups)

    @property
    def largest(self) -> int:
        """Number of atoms of the largest molecule."""
        return self.groups[-1][0]

    def padded(self, room: int) -> MoleculeBatch:
        """Return the batch with room for as many atoms in every molecule, on the same device.

        Its shapes depend on B and the room alone, and there is one group. Absent atoms come after a
        molecule's own; their features, and those of their pairs, are zero.

        Args:
            room: atoms, at least those of the largest molecule.
        """
        device = self.slots_A.device
        n_G, count_G = torch.tensor(self.groups).to(device, non_blocking=True).unbind(1)
        size_A = n_G.repeat_interleave(n_G * count_G, output_size=len(self.atoms_AF))
        slots_A = self.slots_A + self.slots_A // self.largest * (room - self.largest)
        slots_P = ranges_on(slots_A * room, size_A, len(self.pairs_PE))
        rows = self.size * room

        def spread(values: Tensor, slots: Tensor, rows: int) -> Tensor:
            return values.new_zeros(rows, values.shape[1]).index_copy_(0, slots, values)

        return replace(
            self,
            atoms_AF=spread(self.atoms_AF, slots_A, rows),
            positions_A3=spread(self.positions_A3, slots_A, rows),
            pairs_PE=spread(self.pairs_PE, slots_P, rows * room),
            slots_A=torch.full((rows,), rows, device=device).index_copy_(0, slots_A, slots_A),
            groups=((room, self.size),),
        )

    def to(self, device: torch.device) -> MoleculeBatch:
        """Return the batch on ``device``."""
        return replace(
            self,
            atoms_AF=self.atoms_AF.to(device, non_blocking=True),
            positions_A3=self.positions_A3.to(device, non_blocking=True),
            pairs_PE=self.pairs_PE.to(device, non_blocking=True),
            slots_A=self.slots_A.to(device, non_blocking=True),
            targets={name: y.to(device, non_blocking=True) for name, y in self.targets.items()},
        )

    def pin_memory(self) -> MoleculeBatch:
        """Return the batch in page-locked memory, as torch's DataLoader asks for it."""
        return replace(
            self,
            atoms_AF=self.atoms_AF.pin_memory(),
            positions_A3=self.positions_A3.pin_memory(),
            pairs_PE=self.pairs_PE.pin_memory(),
            slots_A=self.slots_A.pin_memory(),
            targets={name: y.pin_memory() for name, y in self.targets.items()},
        )


def node_features(numbers_A: np.ndarray, hydrogens_A: np.ndarray) -> np.ndarray:
    """Return PyG's 11 node columns, (A, 11) float32.

    Columns 6 to 9 (aromatic, sp, sp2, sp3) stay zero, as in PyG's data, whose molecules are read
    without sanitisation.
    """
    features_AF = np.zeros((len(numbers_A), NODE_FEATURES), np.float32)
    for column, element in enumerate(ELEMENTS):
        features_AF[:, column] = numbers_A == element
    features_AF[:, 5] = numbers_A
    features_AF[:, 10] = hydrogens_A
    return features_AF


def pair_features(positions_A3: np.ndarray, bonds_P: np.ndarray, sizes_B: np.ndarray) -> np.ndarray:
    """Return the scaled edge features of every ordered pair, (P, 6) float32.

    Args:
        positions_A3: coordinates in Å.
        bonds_P: bond orders, 0 for none.
        sizes_B: atoms of each molecule.
    """
    squares_B = sizes_B * sizes_B
    size_P = np.repeat(sizes_B, squares_B)
    within_P = np.arange(len(size_P)) - np.repeat(np.cumsum(squares_B) - squares_B, squares_B)
    first_P = np.repeat(np.cumsum(sizes_B) - sizes_B, squares_B)
    row_P, column_P = np.divmod(within_P, size_P)
    offset_P3 = positions_A3[first_P + row_P] - positions_A3[first_P + column_P]
    scale_P = np.where(row_P == column_P, 0, 1 / np.maximum(size_P - 1, 1)).astype(np.float32)
    features_PE = np.zeros((len(size_P), BOND_TYPES + 2), np.float32)
    bonded = np.flatnonzero(bonds_P)
    features_PE[bonded, bonds_P[bonded].astype(np.int64) - 1] = scale_P[bonded]
    features_PE[:, BOND_TYPES] = np.sqrt(np.einsum("pc,pc->p", offset_P3, offset_P3)) * scale_P
    features_PE[:, BOND_TYPES + 1] = scale_P
    return features_PE


def ranges(starts_B: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
    """Return the concatenation of arange(start, start + length)."""
    ends_B = np.cumsum(lengths_B)
    return np.arange(ends_B[-1]) + np.repeat(starts_B - ends_B + lengths_B, lengths_B)


@dataclass(frozen=True)
class MoleculeStore:
    """The cached arrays of a data set of molecules; see data/README.md for their layout.

    Args:
        arrays: numbers, hydrogens, positions, atom_offsets, bonds.
        targets_MT: standardised targets of all M molecules.
        names: task names, the columns of ``targets_MT``.
    """

    arrays: Mapping[str, np.ndarray]
    targets_MT: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes_M = np.diff(self.arrays["atom_offsets"])
        object.__setattr__(self, "sizes_M", sizes_M)
        object.__setattr__(self, "pair_offsets_M", np.cumsum(sizes_M**2) - sizes_M**2)

    sizes_M: np.ndarray = None  # type: ignore[assignment]
    pair_offsets_M: np.ndarray = None  # type: ignore[assignment]

    def __getitems__(self, molecules: list[int] | np.ndarray) -> MoleculeBatch:
        """Return a batch; torch's DataLoader calls this with the indices of one batch."""
        ids_B, groups = self.sort(np.asarray(molecules))
        atoms_AF, positions_A3, pairs_PE = self.features(ids_B)
        sizes_B = self.sizes_M[ids_B]
        targets_BT = torch.from_numpy(self.targets_MT[ids_B])
        return MoleculeBatch(
            atoms_AF=atoms_AF,
            positions_A3=positions_A3,
            pairs_PE=pairs_PE,
            slots_A=torch.from_numpy(ranges(np.arange(len(sizes_B)) * int(sizes_B[-1]), sizes_B)),
            groups=groups,
            targets=dict(zip(self.names, targets_BT.unbind(1), strict=True)),
        )

    def sort(self, ids_B: np.ndarray) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
        """Return molecules in the order of their sizes, and the runs of equal size."""
        ids_B = ids_B[np.argsort(self.sizes_M[ids_B], kind="stable")]
        values, counts = np.unique(self.sizes_M[ids_B], return_counts=True)
        return ids_B, tuple(zip(values.tolist(), counts.tolist(), strict=True))

    def features(self, ids_B: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return node features, positions and edge features of molecules, as in a batch."""
        sizes_B = self.sizes_M[ids_B]
        atoms_A = ranges(self.arrays["atom_offsets"][ids_B], sizes_B)
        pairs_P = ranges(self.pair_offsets_M[ids_B], sizes_B**2)
        positions_A3 = self.arrays["positions"][atoms_A]
        nodes_AF = node_features(self.arrays["numbers"][atoms_A], self.arrays["hydrogens"][atoms_A])
        pairs_PE = pair_features(positions_A3, self.arrays["bonds"][pairs_P], sizes_B)
        return (
            torch.from_numpy(nodes_AF),
            torch.from_numpy(positions_A3),
            torch.from_numpy(pairs_PE),
        )


class ResidentMoleculeStore:
    """A store whose molecules lie on a device, which gathers the same batches from them.

    The features of atoms and pairs are made once, since no molecule's depend on its batch: 1.2 GB
    for QM9. The numbers of its molecules are all that a batch brings to the device.

    Args:
        store: of the molecules.
        device: where they are to lie.
    """

    def __init__(self, store: MoleculeStore, device: torch.device) -> None:
        self.store, self.device, self.sizes_M = store, device, store.sizes_M
        molecules = np.arange(len(store.sizes_M))
        chunks = np.array_split(molecules, -(-len(molecules) // CHUNK))
        parts = [[x.to(device) for x in store.features(ids)] for ids in chunks]
        self.atoms_AF, self.positions_A3, self.pairs_PE = map(torch.cat, zip(*parts, strict=True))
        self.targets_MT = torch.from_numpy(store.targets_MT).to(device)
        offsets_M = store.arrays["atom_offsets"][:-1]
        spans_M3 = np.stack([offsets_M, store.pair_offsets_M, store.sizes_M], axis=1)
        self.spans_M3 = torch.from_numpy(spans_M3).to(device)

    def __getitems__(self, molecules: list[int] | np.ndarray) -> MoleculeBatch:
        """Return a batch on the device, without waiting for it."""
        ids_B, groups = self.store.sort(np.asarray(molecules))
        here_B = torch.from_numpy(ids_B).to(self.device, non_blocking=True)
        atom_B, pair_B, size_B = self.spans_M3[here_B].unbind(1)
        atoms = sum(n * count for n, count in groups)
        atoms_A = ranges_on(atom_B, size_B, atoms)
        row_B = torch.arange(len(ids_B), device=self.device) * groups[-1][0]
        pairs_P = ranges_on(pair_B, size_B**2, sum(n * n * count for n, count in groups))
        return MoleculeBatch(
            atoms_AF=self.atoms_AF[atoms_A],
            positions_A3=self.positions_A3[atoms_A],
            pairs_PE=self.pairs_PE[pairs_P],
            slots_A=ranges_on(row_B, size_B, atoms),
            groups=groups,
            targets=dict(zip(self.store.names, self.targets_MT[here_B].unbind(1), strict=True)),
        )


class PaddedStore:
    """A store whose batches are padded, each molecule to the room of the largest of all.

    Args:
        store: of the molecules.
    """

    def __init__(self, store: MoleculeStore | ResidentMoleculeStore) -> None:
        self.store = store
        self.room = int(store.sizes_M.max())

    def __getitems__(self, molecules: list[int] | np.ndarray) -> MoleculeBatch:
        """Return a batch, where the store makes it."""
        return self.store.__getitems__(molecules).padded(self.room)


def ranges_on(starts_B: Tensor, lengths_B: Tensor, total: int) -> Tensor:
    """Return what ``ranges`` does, on the device; ``total`` is the sum of the lengths."""
    shifts_B = starts_B - lengths_B.cumsum(0) + lengths_B
    shifts = torch.repeat_interleave(shifts_B, lengths_B, output_size=total)
    return torch.arange(total, device=starts_B.device) + shifts
