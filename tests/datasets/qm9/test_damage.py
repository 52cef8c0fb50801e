"""QM9 files that have changed, are incomplete, or were written to mislead."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mtl_bench.cli import main
from mtl_bench.datasets.qm9 import QM9
from mtl_bench.datasets.qm9.prepare import prepare, verify
from mtl_bench.datasets.qm9.pyg import read_pyg
from mtl_bench.datasets.store.cache import write_cache
from mtl_bench.errors import DataError
from tests import synthetic_qm9
from tests.datasets.qm9.raw import ROWS, write_qm9pack
from tests.datasets.qm9.test_prepare import write_pyg


def silent(line):
    pass


def change_a_byte(path, position=-2):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_preparing_again_mends_a_cache_whose_bytes_have_changed(tmp_path):
    raw = write_qm9pack(tmp_path / "csv", ROWS)
    lines = []

    def again():
        lines.clear()
        prepare(tmp_path / "qm9", raw=raw, jobs=1, report=lines.append, subset=True)
        return [path.read_bytes() for path in sorted((tmp_path / "qm9").iterdir())]

    before = again()
    assert again() == before
    assert "already prepared" in lines[0]
    path = tmp_path / "qm9" / "positions.npy"
    change_a_byte(path)
    assert f"{path} has changed" in verify(tmp_path / "qm9")[0]
    assert again() == before
    assert "already prepared" not in lines[0]


def test_verify_lists_every_fault_and_a_summary(tmp_path, capsys):
    data = synthetic_qm9.write(tmp_path / "data")
    change_a_byte(data / "qm9" / "positions.npy")
    change_a_byte(data / "qm9" / "bonds.npy")
    assert main(["data", "verify", "qm9", f"paths.data={data}"]) == 2
    *faults, summary = capsys.readouterr().err.splitlines()
    for name in ("positions.npy has changed", "bonds.npy has changed", "the complete set has"):
        assert sum(name in fault for fault in faults) == 1
    assert summary == (
        f"mtl-bench: {data / 'qm9'} has {len(faults)} faults: run "
        f"`mtl-bench data prepare qm9 paths.data={data}`"
    )


def without(name):
    return lambda arrays: {n: a for n, a in arrays.items() if n != name}


def other(name, change):
    return lambda arrays: arrays | {name: change(arrays[name])}


FAULTS = {
    "no array": (without("bonds"), "there is no array bonds"),
    "type": (
        other("targets", lambda a: a.astype("f4")),
        "type float32 instead of float64",
    ),
    "shape": (other("targets", lambda a: a[:, :3]), "targets: lengths don't agree"),
    "short": (other("numbers", lambda a: a[:-1]), "numbers: lengths don't agree"),
    "a huge molecule": (
        other("atom_offsets", lambda a: np.append(a[:-1], 10**12)),
        "molecules with more than 29 atoms",
    ),
    "offsets backwards": (other("atom_offsets", lambda a: a[::-1].copy()), "fewer than 3 atoms"),
    "no molecules": (other("atom_offsets", lambda a: a[:1]), "or none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_arrays_that_no_molecules_have_are_refused_by_training_and_verify(tmp_path, fault):
    change, message = FAULTS[fault]
    folder = tmp_path / "qm9"
    write_cache(folder, change(synthetic_qm9.arrays()), {"dataset": "qm9", "source": "crafted"})
    with pytest.raises(DataError, match=f"holds no QM9 .*{message}.*data prepare qm9") as caught:
        QM9(str(folder), seed=0)
    assert "\n" not in str(caught.value)
    assert message in verify(folder)[0]


def test_a_manifest_without_a_source_is_refused(tmp_path):
    write_cache(tmp_path / "qm9", synthetic_qm9.arrays(), {"dataset": "qm9"})
    with pytest.raises(DataError, match="its manifest names no source"):
        QM9(str(tmp_path / "qm9"), seed=0)


def set_value(raw: Path, value: str) -> None:
    path = raw / "gdb9.sdf.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    rows[1][rows[0].index("homo")] = value
    path.write_text("".join(",".join(row) + "\n" for row in rows))


def another_element(raw):
    path = raw / "gdb9.sdf"
    path.write_text(path.read_text().replace(" C   ", " Pu  ", 1))


PYG_FAULTS = {
    "NaN": (lambda raw: set_value(raw, "nan"), r"csv: molecule 1 can't .* value is not finite"),
    "text": (lambda raw: set_value(raw, "low"), r"csv: molecule 1 can't .* convert string"),
    "bytes": (
        lambda raw: (raw / "gdb9.sdf.csv").write_bytes(b"\xff\xfe\x00"),
        r"gdb9\.sdf\.csv can't be read",
    ),
    "a huge field": (
        lambda raw: (raw / "gdb9.sdf.csv").write_text("mu\n" + "1" * 200_000 + "\n"),
        r"gdb9\.sdf\.csv can't be read: field larger than",
    ),
    "element": (another_element, r"gdb9\.sdf: molecule 1 is not of H, C, N, O and F alone"),
}


@pytest.mark.parametrize("fault", PYG_FAULTS)
def test_bad_raw_files_of_pyg_are_named(tmp_path, fault):
    raw = write_pyg(tmp_path, ROWS)
    damage, message = PYG_FAULTS[fault]
    damage(raw)
    with pytest.raises(DataError, match=message) as caught:
        read_pyg(raw, silent)
    assert "\n" not in str(caught.value)


def test_the_manifest_of_a_cache_is_strict_json(tmp_path):
    data = synthetic_qm9.write(tmp_path)
    path = data / "qm9" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["arrays"]["index"]["dtype"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json is damaged .*dtype"):
        QM9(str(data / "qm9"), seed=0)


def test_more_molecules_than_there_are_is_an_error_that_names_the_largest(tiny_data):
    root, left = str(tiny_data / "qm9"), synthetic_qm9.MOLECULES - 20_000
    with pytest.raises(DataError, match=rf"dataset\.train_size=961 is more than the {left} "):
        QM9(root, seed=0, train_size=left + 1)
    for size in (None, left):
        assert len(QM9(root, seed=0, train_size=size).splits["train"]) == left
