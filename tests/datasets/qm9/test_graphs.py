import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from mtl_bench.datasets.qm9.graphs import (
    CHUNK_MOLECULES,
    bond_matrix,
    build_bonds,
    count_hydrogens,
    read_skeleton,
)
from mtl_bench.errors import DataError

SMILES = [
    "C",
    "N",
    "C=C",
    "C#C",
    "C#N",
    "c1ccccc1",
    "CC(=O)[O-]",
    "[NH3+]CC([O-])=O",
    "C1C2CC1C2",
    "C#CC#CC=O",
    "CC(F)(F)F",
    "c1cc[nH]c1",
]


def embed(smiles):
    """Return rdkit's own molecule with hydrogens, atomic numbers and a force-field geometry."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=1) == 0
    AllChem.MMFFOptimizeMolecule(molecule)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8)
    return molecule, numbers, molecule.GetConformer().GetPositions()


def expected_bonds(molecule):
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    return Chem.GetAdjacencyMatrix(molecule, useBO=True)


@pytest.mark.parametrize("smiles", SMILES)
def test_bonds_are_those_of_rdkit(smiles):
    molecule, numbers, positions = embed(smiles)
    bonds, way = bond_matrix(smiles, numbers, positions)
    assert way == "in_order"
    assert bonds.dtype == np.uint8
    expected = expected_bonds(molecule)
    np.testing.assert_array_equal(bonds > 0, expected > 0)
    np.testing.assert_array_equal(bonds.sum(axis=0), expected.sum(axis=0))
    if smiles[0] != "c":  # A ring has two Kekulé forms.
        np.testing.assert_array_equal(bonds, expected)
    hydrogens = [sum(n.GetAtomicNum() == 1 for n in a.GetNeighbors()) for a in molecule.GetAtoms()]
    np.testing.assert_array_equal(count_hydrogens(bonds, numbers), hydrogens)


def test_benzene_alternates():
    _, numbers, positions = embed("c1ccccc1")
    bonds, _ = bond_matrix("c1ccccc1", numbers, positions)
    ring = [int(bonds[i, (i + 1) % 6]) for i in range(6)]
    assert ring in ([1, 2] * 3, [2, 1] * 3)


# In ions the charge, which no geometry shows, can sit on either end.
@given(smiles=st.sampled_from([text for text in SMILES if "-" not in text]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_of_the_atoms_gives_the_same_graph(smiles, data):
    molecule, numbers, positions = embed(smiles)
    order = np.array(data.draw(st.permutations(range(len(numbers)))))
    bonds, _ = bond_matrix(smiles, numbers[order], positions[order])
    expected = expected_bonds(molecule)[np.ix_(order, order)]
    np.testing.assert_array_equal(bonds > 0, expected > 0)
    np.testing.assert_array_equal(bonds.sum(axis=0), expected.sum(axis=0))
    np.testing.assert_array_equal(bonds, bonds.T)


def test_matching_puts_multiple_bonds_on_the_short_contacts():
    """The carbon chain of butadiyne reads the same with its triple bond in the middle."""
    _, numbers, positions = embed("C#CC#C")
    order = np.r_[1, 2, 0, 3, 4:6]
    bonds, way = bond_matrix("C#CC#C", numbers[order], positions[order])
    assert way == "reordered"
    assert {(i, j): int(bonds[i, j]) for i in range(4) for j in range(i) if bonds[i, j]} == {
        (1, 0): 1,
        (2, 0): 3,
        (3, 1): 3,
    }


def test_bonds_are_exchanged_where_the_geometry_has_others():
    """2- and 3-methylpentane have the same atoms with the same hydrogens: the geometry decides."""
    molecule, numbers, positions = embed("CC(CC)CC")
    order = np.r_[0, 1, 3, 2, 4, 5, 6:20]  # CH3, CH, CH3, CH2, CH2, CH3 as in the SMILES below
    bonds, way = bond_matrix("CC(C)CCC", numbers[order], positions[order])
    assert way == "rebonded"
    np.testing.assert_array_equal(bonds, expected_bonds(molecule)[np.ix_(order, order)])


def test_a_smiles_of_another_molecule_is_refused_by_number():
    _, numbers, positions = embed("CCO")
    for other in ("CCN", "CC", "CCCO", "C=CO", "COC"):
        with pytest.raises(DataError, match="doesn't describe the geometry"):
            bond_matrix(other, numbers, positions)
    with pytest.raises(DataError, match=r"^QM9 molecule 77: the SMILES COC doesn't describe"):
        build_bonds(["COC"], np.array([77]), numbers, positions, np.array([0, 9]))


def test_a_broken_smiles_is_named():
    with pytest.raises(DataError, match="can't parse the SMILES C1CC"):
        read_skeleton("C1CC")


def columns(smiles):
    molecules = [embed(text) for text in smiles]
    sizes = [len(numbers) for _, numbers, _ in molecules]
    return (
        smiles,
        np.arange(1, len(smiles) + 1),
        np.concatenate([numbers for _, numbers, _ in molecules]),
        np.concatenate([positions for _, _, positions in molecules]),
        np.concatenate([[0], np.cumsum(sizes)]),
    )


def test_many_molecules_are_the_single_ones_in_a_row():
    smiles, index, numbers, positions, offsets = columns(SMILES)
    lines = []
    bonds = build_bonds(smiles, index, numbers, positions, offsets, 1, lines.append)
    parts = [
        bond_matrix(text, numbers[a:b], positions[a:b])[0]
        for text, a, b in zip(smiles, offsets[:-1], offsets[1:], strict=True)
    ]
    np.testing.assert_array_equal(bonds.bonds_P, np.concatenate([m.ravel() for m in parts]))
    assert bonds.ways == {"in_order": len(SMILES)}
    assert lines == [f"bonds: 100 % of {len(SMILES)} molecules"]


def test_two_processes_give_what_one_gives():
    copies = CHUNK_MOLECULES + 3
    smiles, _, numbers, positions, offsets = columns(["N", "C=C"])
    many = (
        smiles * copies,
        np.arange(2 * copies),
        np.tile(numbers, copies),
        np.tile(positions, (copies, 1)),
        np.concatenate([[0], np.cumsum(np.tile(np.diff(offsets), copies))]),
    )
    one = build_bonds(*many, jobs=1, report=lambda line: None)
    two = build_bonds(*many, jobs=2, report=lambda line: None)
    np.testing.assert_array_equal(one.bonds_P, two.bonds_P)
    np.testing.assert_array_equal(one.hydrogens_A, two.hydrogens_A)
    assert one.ways == two.ways == {"in_order": 2 * copies}
