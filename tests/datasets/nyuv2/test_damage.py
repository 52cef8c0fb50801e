"""NYU-v2 files that have changed or were written to mislead."""

import json

import h5py
import numpy as np
import pytest

from mtl_bench.cli import main
from mtl_bench.datasets.nyuv2 import NYUv2
from mtl_bench.datasets.nyuv2.mat import read_classes
from mtl_bench.datasets.nyuv2.prepare import prepare, synth, verify
from mtl_bench.errors import DataError
from tests.datasets.nyuv2 import folder as nyuv2_folder
from tests.datasets.nyuv2.test_mat import FRAMES, write_names

SHAPE = (FRAMES, 640, 480)


def quiet(line):
    pass


@pytest.fixture
def mat(tmp_path):
    """The official layout with a plane as frame 3, the first to train on, and 1, the first test."""
    path = tmp_path / "official.mat"
    with h5py.File(path, "w") as file:
        for name, kind in (("depths", "f4"), ("rawDepths", "f4"), ("labels", "u2")):
            file.create_dataset(name, SHAPE, kind, chunks=(1, 640, 480), compression="gzip")
        file.create_dataset("images", (FRAMES, 3, 640, 480), "u1", chunks=(1, 3, 640, 480))
        for number in (1, 3):
            file["depths"][number - 1] = file["rawDepths"][number - 1] = 2.0
        write_names(file, read_classes()["names894"])
    return path


def convert(tmp_path, mat, **options):
    return prepare(tmp_path / "nyuv2", mat, jobs=1, report=quiet, subset=1, **options)


def set_frame(name, value):
    def edit(mat):
        with h5py.File(mat, "a") as file:
            file[name][2] = value

    return edit


def damage_chunk(mat):
    with h5py.File(mat) as file:
        chunk = file["depths"].id.get_chunk_info_by_coord((2, 0, 0))
    content = bytearray(mat.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    mat.write_bytes(content)


FRAME_FAULTS = {
    "a label beyond the classes": (set_frame("labels", 895), "frame 3 has label 895 of 894"),
    "NaN depth": (set_frame("depths", np.nan), "depth of frame 3: .* NaN or infinite"),
    "negative depth": (set_frame("depths", -1.0), "depth of frame 3: depth -1 m"),
    "a damaged chunk": (damage_chunk, r"frame 3 can't be read .*fetch the file again"),
}


@pytest.mark.parametrize("case", FRAME_FAULTS)
def test_a_bad_frame_is_named_and_nothing_is_left(mat, tmp_path, case):
    edit, message = FRAME_FAULTS[case]
    edit(mat)
    with pytest.raises(DataError, match=message) as caught:
        convert(tmp_path, mat)
    assert str(mat) in str(caught.value)
    assert not (tmp_path / "nyuv2").exists()
    assert not list(tmp_path.glob(".nyuv2*"))


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        (np.zeros((480, 640)), r"shape \(480, 640\)"),
        (np.zeros((480, 640, 3), dtype="M8[s]"), "instead of .480, 640, 3. numbers"),
        (np.full((480, 640, 3), 7.0), "normal of frame 3: normals of length 12.1"),
    ],
)
def test_bad_given_normals_are_named(mat, tmp_path, normal, message):
    (tmp_path / "normals").mkdir()
    np.save(tmp_path / "normals/3.npy", normal)
    with pytest.raises(DataError, match=message):
        convert(tmp_path, mat, normals=tmp_path / "normals")


def make_rooms(root):
    lines = []
    synth(root, 2, 1, 24, 32, jobs=1, report=lines.append)
    return lines


def change_a_value(path):
    values = np.load(path)
    values[0, 0] = values[0, 0] + 0.125
    np.save(path, values)


@pytest.mark.parametrize("kind", ["real", "procedural"])
def test_preparing_again_mends_frames_whose_bytes_have_changed(mat, tmp_path, kind):
    root = tmp_path / "nyuv2"

    def again():
        if kind == "real":
            convert(tmp_path, mat)
        else:
            make_rooms(root)
        return {path: path.read_bytes() for path in root.rglob("*.*")}

    before = again()
    path = root / "train/depth/0.npy"
    change_a_value(path)
    assert verify(root) == [
        f"{path.parent} has changed: its SHA-256 is not the one in the manifest"
    ]
    assert again() == before
    assert verify(root) == []


def test_verify_lists_every_fault_and_a_summary(tmp_path, capsys):
    root = tmp_path / "nyuv2"
    nyuv2_folder.write(root)
    np.save(root / "train/depth/0.npy", np.full((12, 16, 1), np.nan, np.float32))
    np.save(root / "train/label/1.npy", np.full((12, 16), 13.0, np.float32))
    np.save(root / "train/image/2.npy", np.zeros((12, 16, 3), np.uint8))
    (root / "train/normal/3.npy").write_bytes((root / "train/normal/3.npy").read_bytes()[:-9])
    np.savez(root / "zip", a=np.zeros(3))
    (root / "zip.npz").rename(root / "val/depth/0.npy")
    (root / "val/image/1.npy").unlink()
    assert main(["data", "verify", "nyuv2", f"paths.data={tmp_path}"]) == 2
    *faults, summary = capsys.readouterr().err.splitlines()
    for message in (
        "depth/0.npy (frame 0 of train): 192 values are NaN",
        "label/1.npy (frame 1 of train): label 13 at 192 pixels",
        "image/2.npy (frame 2 of train): type uint8 instead of a floating one",
        "normal/3.npy (frame 3 of train): 2423 bytes instead of 2432",
        "depth/0.npy (frame 0 of val): not a readable npy file",
        "image/1.npy (frame 1 of val) is missing",
    ):
        assert sum(message in fault for fault in faults) == 1, message
    assert len(faults) == 6
    assert summary == (
        f"mtl-bench: {root} has 6 faults: get what is named again from where the data set came"
    )


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m | {"sha256": {}},
        lambda m: m | {"sha256": None},
        lambda m: m | {"source": 3},
        lambda m: [m],
    ],
)
def test_a_crafted_manifest_is_damaged(tmp_path, edit):
    root = tmp_path / "nyuv2"
    make_rooms(root)
    path = root / "manifest.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    assert f"{path} is damaged" in verify(root)[0]
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        NYUv2(str(root), seed=0)


def test_a_folder_of_cityscapes_is_told_from_one_of_nyuv2(tmp_path):
    (tmp_path / "nyuv2/leftImg8bit/train").mkdir(parents=True)
    with pytest.raises(DataError, match="which is the layout of Cityscapes") as caught:
        NYUv2(str(tmp_path / "nyuv2"), seed=0)
    assert "data verify nyuv2" in str(caught.value)
    with pytest.raises(DataError, match="holds files that `mtl-bench data` did not write"):
        make_rooms(tmp_path / "nyuv2")
    assert (tmp_path / "nyuv2/leftImg8bit/train").is_dir()


def test_arrays_of_one_axis_or_none_are_named(tmp_path):
    root = tmp_path / "nyuv2"
    nyuv2_folder.write(root, train=2, val=1)
    for path in root.rglob("*.npy"):
        np.save(path, np.zeros(() if path.parent.name == "label" else 5, np.float32))
    assert len(verify(root)) == 12
