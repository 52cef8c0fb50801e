import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest

from mtl_bench.datasets.qm9.prepare import prepare, verify
from mtl_bench.datasets.qm9.pyg import read_pyg
from mtl_bench.datasets.qm9.sources import read_qm9pack
from mtl_bench.datasets.qm9.targets import ATOM_ENERGIES, ELEMENTS, TARGETS
from mtl_bench.datasets.store.cache import open_cache, write_cache
from mtl_bench.errors import DataError
from tests.datasets.qm9.raw import ROWS, installed_rows, write_qm9pack


def silent(line):
    pass


def prepare_rows(folder, rows, **options):
    raw = write_qm9pack(folder / "csv", rows)
    prepare(folder / "qm9", raw=raw, jobs=1, report=silent, subset=True, **options)
    return open_cache(folder / "qm9", "qm9")


def test_hand_checked_molecules(tmp_path):
    cache = prepare_rows(tmp_path, ROWS)
    arrays = cache.arrays
    assert {name: array.dtype.str[1:] for name, array in arrays.items()} == {
        "numbers": "u1",
        "hydrogens": "u1",
        "positions": "f4",
        "atom_offsets": "i8",
        "bonds": "u1",
        "targets": "f8",
        "index": "i4",
    }
    np.testing.assert_array_equal(arrays["index"], [1, 2, 5, 23])
    np.testing.assert_array_equal(arrays["atom_offsets"], [0, 5, 9, 12, 18])
    np.testing.assert_array_equal(
        arrays["numbers"], [6, 1, 1, 1, 1, 7, 1, 1, 1, 6, 7, 1, 6, 6, 6, 6, 1, 1]
    )
    np.testing.assert_array_equal(
        arrays["hydrogens"], [4, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0]
    )
    methane, hydrogen_cyanide = arrays["bonds"][:25], arrays["bonds"][25 + 16 :][:9]
    np.testing.assert_array_equal(methane.reshape(5, 5)[0], [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(methane.reshape(5, 5)[1:, 1:], np.zeros((4, 4)))
    np.testing.assert_array_equal(hydrogen_cyanide, [0, 3, 1, 3, 0, 0, 1, 0, 0])
    assert arrays["positions"][9, 0] == np.float32(-0.0133239314)
    assert cache.manifest["bond_rule"] == {"in_order": 3, "reordered": 1}
    assert cache.manifest["targets"] == [target.name for target in TARGETS]


def test_targets_of_methane_are_those_of_pyg(tmp_path):
    """Atomisation energies of MoleculeNet's table, kcal/mol, through PyG's factor."""
    targets = prepare_rows(tmp_path, ROWS).arrays["targets"]
    names = [target.name for target in TARGETS]
    expected = {
        "mu": 0.0,
        "alpha": 13.21,
        "homo": -0.3877 * 27211.386246,
        "lumo": 0.1171 * 27211.386246,
        "r2": 35.3641,
        "zpve": 0.044749 * 27211.386246,
        "u0": -395.999594594 * 43.36414,
        "u298": -398.643290011 * 43.36414,
        "h298": -401.014646522 * 43.36414,
        "g298": -372.471772148 * 43.36414,
        "cv": 6.469,
    }
    np.testing.assert_allclose(targets[0], [expected[name] for name in names], atol=0.05)


def test_constants_are_those_of_the_installed_pyg():
    qm9 = pytest.importorskip("torch_geometric.datasets.qm9")
    from mtl_bench.datasets.qm9 import targets as qm9_targets

    assert qm9_targets.HARTREE_IN_EV == qm9.HAR2EV
    assert qm9_targets.KCAL_PER_MOL_IN_EV == qm9.KCALMOL2EV
    assert ATOM_ENERGIES.tolist() == [qm9.atomrefs[target] for target in (7, 8, 9, 10)]
    assert ELEMENTS.tolist() == [1, 6, 7, 8, 9]


def test_a_second_call_returns_at_once(tmp_path):
    prepare_rows(tmp_path, ROWS)
    before = (tmp_path / "qm9" / "manifest.json").stat()
    lines = []
    prepare(tmp_path / "qm9", raw=tmp_path / "nowhere", report=lines.append, subset=True)
    assert lines == [f"QM9 is already prepared from qm9pack in {tmp_path}/qm9"]
    assert (tmp_path / "qm9" / "manifest.json").stat() == before


def test_a_damaged_cache_is_built_again(tmp_path):
    prepare_rows(tmp_path, ROWS)
    (tmp_path / "qm9" / "bonds.npy").write_bytes(b"")
    assert "bonds.npy is damaged" in verify(tmp_path / "qm9")[0]
    assert len(prepare_rows(tmp_path, ROWS).arrays["bonds"]) == 25 + 16 + 9 + 36


def test_a_subset_is_refused_unless_asked_for(tmp_path):
    raw = write_qm9pack(tmp_path / "csv", ROWS)
    with pytest.raises(DataError, match=r"qm9_part1\.csv is not the file of qm9pack 1\.0\.3"):
        prepare(tmp_path / "qm9", raw=raw, report=silent)
    assert not (tmp_path / "qm9").exists()


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("Elements", "['C','H','H','H','X']", "unknown elements"),
        ("N_atoms", "6", "N_atoms, Elements and XYZ_Ang disagree"),
        ("HOMO_au", "low", "could not convert string to float"),
        ("XYZ_Ang", "[[0.0,0.0]]", "cannot reshape"),
    ],
)
def test_bad_tables_name_the_file(tmp_path, field, value, fault):
    rows = [ROWS[0] | {field: value}, *ROWS[1:]]
    with pytest.raises(DataError, match=rf"qm9_part1\.csv is not a table of qm9pack: .*{fault}"):
        read_qm9pack(write_qm9pack(tmp_path, rows), silent)


def test_missing_files_and_columns_are_named(tmp_path):
    raw = write_qm9pack(tmp_path, [{k: v for k, v in row.items() if k != "SMILES"} for row in ROWS])
    with pytest.raises(DataError, match=r"qm9_part1\.csv is not a table of qm9pack: .*SMILES"):
        read_qm9pack(raw, silent)
    (raw / "qm9_part2.csv").write_text("")
    (raw / "qm9_part1.csv").unlink()
    with pytest.raises(DataError, match=r"qm9_part1\.csv is missing"):
        prepare(tmp_path / "qm9", raw=raw, report=silent, subset=True)


def test_verify_wants_the_complete_set(tmp_path):
    prepare_rows(tmp_path, ROWS)
    faults = verify(tmp_path / "qm9")
    assert faults[0] == "index: 4 molecules, the complete set has 130831"
    assert len(faults) == 1 + len(TARGETS)  # so few molecules have other moments
    assert "is not prepared" in verify(tmp_path / "nothing")[0]


def test_verify_finds_a_flipped_byte(tmp_path):
    prepare_rows(tmp_path, ROWS)
    path = tmp_path / "qm9" / "positions.npy"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert verify(tmp_path / "qm9")[0] == (
        f"{path} has changed: its SHA-256 is not the one in manifest.json"
    )


@pytest.mark.parametrize(
    ("name", "place", "value", "fault"),
    [
        ("positions", (1, 0), np.nan, "positions: not finite: 1 molecules of 5 atoms"),
        ("positions", (1, 0), 50.0, "positions: atoms too far apart"),
        ("positions", (0, slice(None)), [0.002, -0.006, 0.002], "positions: atoms too close"),
        ("targets", (0, 3), np.inf, "targets: lumo has values that are not finite"),
        ("numbers", 0, 16, "numbers: elements other than H, C, N, O, F"),
        ("bonds", 1, 0, "bonds: not symmetric"),
        ("bonds", 0, 1, "bonds: an atom bonded to itself"),
        ("bonds", [1, 5], 4, "bonds: orders above 3"),
        ("bonds", [29, 37], 0, "bonds: an atom without any: 1 molecules of 4 atoms, the first is "),
        ("hydrogens", 0, 3, "hydrogens: not those of bonds"),
        ("index", 0, 2, "index: not increasing from 1 to 133885"),
        ("atom_offsets", 0, 4, "atom_offsets: molecules with fewer than 3"),
        ("atom_offsets", -1, 17, "lengths don't agree with atom_offsets"),
    ],
)
def test_verify_finds_what_the_hashes_vouch_for_wrongly(tmp_path, name, place, value, fault):
    arrays = dict(prepare_rows(tmp_path, ROWS).arrays)
    arrays[name] = np.array(arrays[name])
    arrays[name][place] = value
    write_cache(tmp_path / "wrong", arrays, {})
    faults = verify(tmp_path / "wrong")
    assert any(fault in line for line in faults), faults


def write_pyg(folder, rows):
    """Write rows as PyG's raw files, with the bonds of our rule and every third one excluded."""
    from rdkit import Chem

    cache = prepare_rows(folder, rows).arrays
    offsets = cache["atom_offsets"]
    pairs = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    raw = folder / "raw"
    raw.mkdir()
    table = ["mol_id,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv"]
    table[0] += ",u0_atom,u298_atom,h298_atom,g298_atom"
    with Chem.SDWriter(str(raw / "gdb9.sdf")) as writer:
        writer.SetKekulize(False)
        for m, (a, b) in enumerate(pairwise(offsets)):
            molecule = Chem.RWMol()
            for number in cache["numbers"][a:b].tolist():
                molecule.AddAtom(Chem.Atom(number))
            orders = cache["bonds"][pairs[m] : pairs[m + 1]].reshape(b - a, b - a)
            for i, j in zip(*np.nonzero(np.triu(orders)), strict=True):
                kind = {1: "SINGLE", 2: "DOUBLE", 3: "TRIPLE"}[int(orders[i, j])]
                molecule.AddBond(int(i), int(j), getattr(Chem.BondType, kind))
            conformer = Chem.Conformer(int(b - a))
            conformer.SetPositions(cache["positions"][a:b].astype(float))
            molecule.AddConformer(conformer)
            molecule.SetProp("_Name", f"gdb_{m + 1}")
            writer.write(molecule)
            ours = dict(zip([t.name for t in TARGETS], cache["targets"][m].tolist(), strict=True))
            hartree = [ours[name] / 27211.386246 for name in ("homo", "lumo", "zpve")]
            atoms = [ours[name] / 43.36414 for name in ("u0", "u298", "h298", "g298")]
            values = [ours["mu"], ours["alpha"], *hartree[:2], 0, ours["r2"], hartree[2]]
            values += [0, 0, 0, 0, ours["cv"], *atoms]
            table.append(f"gdb_{m + 1},0,0,0," + ",".join(map(repr, values)))
    (raw / "gdb9.sdf.csv").write_text("\n".join(table) + "\n")
    excluded = [f"  {number}  C  1 2" for number in range(3, len(rows) + 1, 3)]
    (raw / "uncharacterized.txt").write_text("\n".join(["="] * 9 + excluded + ["", ""]))
    return raw


@pytest.mark.parametrize("rows", ["hand", "installed"])
def test_the_pyg_source_reads_what_pyg_reads(tmp_path, rows):
    """PyG's own QM9 class is the oracle: features, edges, targets, exclusions."""
    pyg = pytest.importorskip("torch_geometric.datasets.qm9")
    write_pyg(tmp_path, ROWS if rows == "hand" else installed_rows(60))
    prepare(tmp_path / "cache", "pyg", raw=tmp_path / "raw", jobs=1, report=silent, subset=True)
    arrays = open_cache(tmp_path / "cache", "qm9").arrays
    reference = pyg.QM9(str(tmp_path))
    assert len(reference) == len(arrays["index"])
    pair = 0
    for m, data in enumerate(reference):
        a, b = arrays["atom_offsets"][m : m + 2]
        assert data.idx + 1 == arrays["index"][m]
        np.testing.assert_array_equal(data.z, arrays["numbers"][a:b])
        np.testing.assert_array_equal(data.pos, arrays["positions"][a:b])
        np.testing.assert_array_equal(data.x[:, 10], arrays["hydrogens"][a:b])
        assert not data.x[:, 6:10].any()
        assert not data.edge_attr[:, 3].any()
        orders = np.zeros((b - a, b - a), int)
        orders[tuple(data.edge_index.numpy())] = data.edge_attr.argmax(dim=1) + 1
        np.testing.assert_array_equal(orders.ravel(), arrays["bonds"][pair : pair + (b - a) ** 2])
        pair += (b - a) ** 2
    factors = [1e3 if target.unit == "meV" else 1.0 for target in TARGETS]
    columns = [0, 1, 2, 3, 5, 6, 12, 13, 14, 15, 11]
    expected = reference.y[:, columns].double().numpy() * factors
    np.testing.assert_allclose(arrays["targets"], expected, rtol=1e-6)


def test_an_aromatic_sdf_is_refused(tmp_path):
    raw = write_pyg(tmp_path, ROWS)
    text = (raw / "gdb9.sdf").read_text()
    (raw / "gdb9.sdf").write_text(text.replace("  1  2  3  0", "  1  2  4  0"))
    assert text != (raw / "gdb9.sdf").read_text()
    (raw / "uncharacterized.txt").write_text("")
    with pytest.raises(DataError, match="molecule 3 can't be read as a Kekulé structure"):
        read_pyg(raw, silent)


def test_a_short_table_is_refused(tmp_path):
    raw = write_pyg(tmp_path, ROWS)
    lines = (raw / "gdb9.sdf.csv").read_text().splitlines()
    (raw / "gdb9.sdf.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"gdb9\.sdf has 4 molecules, .*gdb9\.sdf\.csv has 3"):
        read_pyg(raw, silent)


def test_a_sample_of_the_installed_package(tmp_path):
    """rdkit's sanitised molecules are the oracle of hydrogens and of Kekulé bonds."""
    from rdkit import Chem

    rows = installed_rows(300)
    arrays = prepare_rows(tmp_path, rows).arrays
    offsets = arrays["atom_offsets"]
    pairs = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    for m, row in enumerate(rows):
        molecule = Chem.MolFromSmiles(row["SMILES"])
        a, b = offsets[m : m + 2]
        numbers = arrays["numbers"][a:b]
        bonds = arrays["bonds"][pairs[m] : pairs[m + 1]].reshape(b - a, b - a)
        heavy = numbers != 1
        hydrogens = [atom.GetTotalNumHs() for atom in molecule.GetAtoms()]
        assert sorted(hydrogens) == sorted(arrays["hydrogens"][a:b][heavy])
        np.testing.assert_array_equal(bonds[~heavy].sum(axis=1), 1)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        orders = sorted(int(bond.GetBondTypeAsDouble()) for bond in molecule.GetBonds())
        found = bonds[np.ix_(heavy, heavy)]
        upper = np.triu(found)
        assert sorted(upper[upper > 0]) == orders
        valence = bonds.sum(axis=1)[heavy]
        expected = [a.GetTotalValence() for a in molecule.GetAtoms()]
        assert sorted(valence) == sorted(expected)


def test_manifest_hash_stands_for_the_data(tmp_path):
    first = prepare_rows(tmp_path / "a", ROWS)
    second = prepare_rows(tmp_path / "b", ROWS)
    other = prepare_rows(tmp_path / "c", ROWS[:3])
    assert first.manifest_hash == second.manifest_hash != other.manifest_hash
    raw = (tmp_path / "a" / "qm9" / "manifest.json").read_bytes()
    assert first.manifest_hash == hashlib.sha256(raw).hexdigest()
    assert json.loads(raw)["source"] == "qm9pack"
