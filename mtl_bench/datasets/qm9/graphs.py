"""Bonds of the QM9 molecules: the graph of the SMILES laid over the atoms of the geometry.

QM9's geometries carry no bonds. The rule here: heavy atoms are bonded as in the SMILES (Kekulé
form, no aromatic bonds), and each hydrogen is bonded to its nearest heavy atom. A graph fits a
geometry if every atom has the same element and as many hydrogens, every bond is shorter than
`BOND_LIMIT`, and every other pair of heavy atoms is farther apart than `CONTACT_LIMIT`; lengths
count in sums of covalent radii. Three graphs are tried, and the first that fits is taken:

1. ``in_order``: atom i of the SMILES is heavy atom i of the geometry. So it is but for 8 molecules.
2. ``reordered``: the SMILES is matched, elements and hydrogens included, to the graph of the
   geometry's shortest contacts, as many as the SMILES has bonds; among several matches the one that
   puts its multiple bonds on the shortest contacts.
3. ``rebonded``: bonds that the geometry has not are exchanged for single bonds that it has,
   provided that every atom keeps its valence.

Deviation: PyTorch Geometric takes bonds from an SDF file that was perceived from distances; it has
long "bonds" across small rings and misplaced multiple bonds, which this rule has not (PyG issue
10560).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mtl_bench.datasets.store.preparation import map_parallel
from mtl_bench.errors import DataError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

BOND_LIMIT = 1.3
CONTACT_LIMIT = 1.1
COVALENT_RADII = np.zeros(10)
COVALENT_RADII[[1, 6, 7, 8, 9]] = [0.31, 0.76, 0.71, 0.66, 0.57]
"""Å, by atomic number; Cordero et al., Dalton Trans. 2008 (carbon: sp3)."""

CHUNK_MOLECULES = 4096

Way = Literal["in_order", "reordered", "rebonded"]

# Shapes: N atoms and V heavy atoms of one molecule; M molecules, their A atoms and P atom pairs.


class Skeleton(NamedTuple):
    """The heavy atoms of a molecular graph: elements, numbers of hydrogens, bond orders."""

    elements_V: np.ndarray
    hydrogens_V: np.ndarray
    orders_VV: np.ndarray


class Geometry(NamedTuple):
    """The heavy atoms of a geometry.

    Args:
        elements_V: atomic numbers.
        hydrogens_V: hydrogens nearer to this heavy atom than to any other.
        ratios_VV: distances over the sum of covalent radii, infinite on the diagonal.
    """

    elements_V: np.ndarray
    hydrogens_V: np.ndarray
    ratios_VV: np.ndarray


class Bonds(NamedTuple):
    """Bonds of many molecules, one after another.

    Args:
        bonds_P: uint8, each molecule's (n, n) matrix of bond orders 0..3, row by row.
        hydrogens_A: uint8, hydrogens bonded to each atom.
        ways: how many molecules were bonded in which way.
    """

    bonds_P: np.ndarray
    hydrogens_A: np.ndarray
    ways: Counter[Way]


def build_bonds(
    smiles: Sequence[str],
    index_M: np.ndarray,
    numbers_A: np.ndarray,
    positions_A3: np.ndarray,
    atom_offsets: np.ndarray,
    jobs: int = 1,
    report: Callable[[str], None] = print,
) -> Bonds:
    """Bond M molecules by the rule above.

    Args:
        smiles: M SMILES.
        index_M: their QM9 numbers, for errors.
        numbers_A: atomic numbers, molecules one after another.
        positions_A3: Å.
        atom_offsets: (M + 1,) first atom of each molecule.
        jobs: processes; 1 stays in this one.
        report: gets a line at each quarter.

    Raises:
        DataError: a molecule whose SMILES doesn't describe its geometry, by its number.
    """
    chunks = []
    for first in range(0, len(smiles), CHUNK_MOLECULES):
        offsets = atom_offsets[first : first + CHUNK_MOLECULES + 1]
        molecules = slice(first, first + len(offsets) - 1)
        atoms = slice(offsets[0], offsets[-1])
        chunks.append(
            (
                smiles[molecules],
                index_M[molecules],
                np.split(numbers_A[atoms], offsets[1:-1] - offsets[0]),
                np.split(positions_A3[atoms], offsets[1:-1] - offsets[0]),
            )
        )
    results: list[Bonds] = []
    for result in map_parallel(_bond_chunk, chunks, jobs, chunksize=1):
        results.append(result)
        if len(results) % -(-len(chunks) // 4) == 0:
            report(f"bonds: {100 * len(results) // len(chunks)} % of {len(smiles)} molecules")
    return Bonds(
        np.concatenate([result.bonds_P for result in results]),
        np.concatenate([result.hydrogens_A for result in results]),
        sum((result.ways for result in results), Counter()),
    )


def bond_matrix(
    smiles: str, numbers_N: np.ndarray, positions_N3: np.ndarray
) -> tuple[np.ndarray, Way]:
    """Bond one molecule.

    Args:
        smiles: its SMILES without explicit hydrogen atoms.
        numbers_N: atomic numbers.
        positions_N3: Å.

    Returns:
        uint8 bond orders (N, N), and the way it was done.

    Raises:
        DataError: the SMILES can't be read or doesn't describe the geometry.
    """
    heavy_V = np.flatnonzero(numbers_N != 1)
    hydrogens = np.flatnonzero(numbers_N == 1)
    distances_NV = np.linalg.norm(positions_N3[:, None] - positions_N3[heavy_V], axis=-1)
    owners = distances_NV[hydrogens].argmin(axis=1)
    radii_V = COVALENT_RADII[numbers_N[heavy_V]]
    ratios_VV = distances_NV[heavy_V] / (radii_V[:, None] + radii_V)
    np.fill_diagonal(ratios_VV, np.inf)
    geometry = Geometry(numbers_N[heavy_V], np.bincount(owners, minlength=len(heavy_V)), ratios_VV)
    for way, skeleton in _candidates(read_skeleton(smiles), geometry):
        if _fits(skeleton, geometry):
            bonds_NN = np.zeros((len(numbers_N), len(numbers_N)), np.uint8)
            bonds_NN[np.ix_(heavy_V, heavy_V)] = skeleton.orders_VV
            bonds_NN[hydrogens, heavy_V[owners]] = 1
            bonds_NN[heavy_V[owners], hydrogens] = 1
            return bonds_NN, way
    raise DataError(f"the SMILES {smiles} doesn't describe the geometry")


def read_skeleton(smiles: str) -> Skeleton:
    """Parse a SMILES into its heavy-atom graph with Kekulé bond orders.

    Raises:
        DataError: rdkit can't parse it.
    """
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        raise DataError(f"can't parse the SMILES {smiles}")
    molecule.UpdatePropertyCache(strict=False)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    atoms = list(molecule.GetAtoms())
    return Skeleton(
        np.array([atom.GetAtomicNum() for atom in atoms]),
        np.array([atom.GetTotalNumHs() for atom in atoms]),
        Chem.GetAdjacencyMatrix(molecule, useBO=True).astype(np.uint8),
    )


def count_hydrogens(bonds_NN: np.ndarray, numbers_N: np.ndarray) -> np.ndarray:
    """Return how many hydrogens are bonded to each atom, uint8 (N,)."""
    return np.count_nonzero(bonds_NN[:, numbers_N == 1], axis=1).astype(np.uint8)


_Chunk = tuple[Sequence[str], np.ndarray, list[np.ndarray], list[np.ndarray]]


def _bond_chunk(chunk: _Chunk) -> Bonds:
    matrices, hydrogens, ways = [], [], Counter[Way]()
    for smiles, index, numbers_N, positions_N3 in zip(*chunk, strict=True):
        try:
            bonds_NN, way = bond_matrix(smiles, numbers_N, positions_N3)
        except DataError as error:
            raise DataError(f"QM9 molecule {index}: {error}") from error
        matrices.append(bonds_NN.reshape(-1))
        hydrogens.append(count_hydrogens(bonds_NN, numbers_N))
        ways[way] += 1
    return Bonds(np.concatenate(matrices), np.concatenate(hydrogens), ways)


def _fits(skeleton: Skeleton, geometry: Geometry) -> bool:
    if not np.array_equal(skeleton.elements_V, geometry.elements_V):
        return False
    bonded_VV = skeleton.orders_VV > 0
    return bool(
        np.array_equal(skeleton.hydrogens_V, geometry.hydrogens_V)
        and np.all(geometry.ratios_VV[bonded_VV] < BOND_LIMIT)
        and np.all(geometry.ratios_VV[~bonded_VV] > CONTACT_LIMIT)
    )


def _candidates(skeleton: Skeleton, geometry: Geometry) -> Iterator[tuple[Way, Skeleton]]:
    """Yield the skeleton as it might lie over the geometry's atoms, the likeliest first."""
    yield "in_order", skeleton
    if len(skeleton.elements_V) != len(geometry.elements_V):
        return
    first, second = np.triu_indices(len(geometry.elements_V), 1)
    bonds = np.count_nonzero(skeleton.orders_VV) // 2
    shortest = np.argsort(geometry.ratios_VV[first, second])[:bonds]
    contacts_VV = np.zeros_like(skeleton.orders_VV)
    contacts_VV[first[shortest], second[shortest]] = 1
    contacts_VV += contacts_VV.T

    if (place := _match(skeleton, geometry, contacts_VV)) is not None:
        yield (
            "reordered",
            Skeleton(
                skeleton.elements_V[place],
                skeleton.hydrogens_V[place],
                skeleton.orders_VV[np.ix_(place, place)],
            ),
        )
    orders_VV = np.maximum(skeleton.orders_VV, 1) * contacts_VV
    if np.array_equal(orders_VV.sum(axis=0), skeleton.orders_VV.sum(axis=0)):
        yield "rebonded", skeleton._replace(orders_VV=orders_VV)


def _match(skeleton: Skeleton, geometry: Geometry, contacts_VV: np.ndarray) -> np.ndarray | None:
    """Return the SMILES atom that belongs to each of the geometry's, None if the graphs differ."""
    target = _labelled_graph(geometry.elements_V, geometry.hydrogens_V, contacts_VV)
    template = _labelled_graph(skeleton.elements_V, skeleton.hydrogens_V, skeleton.orders_VV)
    bonded = np.nonzero(skeleton.orders_VV)

    def length(match: np.ndarray) -> float:
        ratios_VV = geometry.ratios_VV[np.ix_(match, match)]
        return float(skeleton.orders_VV[bonded] @ ratios_VV[bonded])

    matches = map(np.array, target.GetSubstructMatches(template, uniquify=False))
    best = min(matches, key=length, default=None)
    return None if best is None else np.argsort(best)


def _labelled_graph(
    elements_V: np.ndarray, hydrogens_V: np.ndarray, adjacency_VV: np.ndarray
) -> Mol:
    """Make a molecule of single bonds whose isotopes carry the numbers of hydrogens."""
    from rdkit import Chem

    graph = Chem.RWMol()
    for element, hydrogens in zip(elements_V.tolist(), hydrogens_V.tolist(), strict=True):
        atom = Chem.Atom(element)
        atom.SetIsotope(1 + hydrogens)  # A template's isotope takes part in the match unless 0.
        graph.AddAtom(atom)
    for i, j in zip(*np.nonzero(np.triu(adjacency_VV)), strict=True):
        graph.AddBond(int(i), int(j), Chem.BondType.SINGLE)
    return graph
