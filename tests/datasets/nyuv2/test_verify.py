"""Every fault of a folder is named with its file, its frame and what is wrong."""

import json
import shutil

import numpy as np
import pytest

from mtl_bench.datasets.nyuv2.layout import scan
from mtl_bench.datasets.nyuv2.prepare import synth, verify
from tests.datasets.nyuv2 import folder as nyuv2_folder


@pytest.fixture
def root(tmp_path):
    nyuv2_folder.write(tmp_path / "nyuv2")
    return tmp_path / "nyuv2"


def change(root, part, edit, frame="train/{}/2.npy"):
    path = root / frame.format(part)
    values = np.load(path)
    np.save(path, edit(values))
    return path


def setting(place, value):
    def edit(values):
        values[place] = value
        return values

    return edit


def test_a_good_folder_has_no_faults(root):
    assert verify(root) == []
    found = scan(root)
    assert (found.counts, found.height, found.width) == ({"train": 6, "val": 3}, 12, 16)


HEADER_FAULTS = {
    "other shape": ("image", lambda v: v[:-1], "shape (11, 16, 3) instead of (12, 16, 3)"),
    "channels first": ("image", lambda v: v.transpose(2, 0, 1), "channels come last"),
    "no channel axis": ("depth", lambda v: v[..., 0], "shape (12, 16) instead of (12, 16, 1)"),
    "channel axis": ("label", lambda v: v[..., None], "instead of (12, 16)"),
    "integers": ("label", lambda v: v.astype(np.int64), "type int64 instead of a floating one"),
    "bytes": ("image", lambda v: (v * 255).astype(np.uint8), "type uint8"),
    "objects": ("depth", lambda v: v.astype(object), "type object"),
}


@pytest.mark.parametrize("case", HEADER_FAULTS)
def test_a_header_fault_is_found_without_reading_values(root, case):
    part, edit, message = HEADER_FAULTS[case]
    path = change(root, part, edit)
    for faults in (scan(root).faults, verify(root)):
        assert len(faults) == 1
        assert faults[0].startswith(f"{path} (frame 2 of train): ")
        assert message in faults[0]


VALUE_FAULTS = {
    "NaN depth": ("depth", setting((3, 4), np.nan), "1 values are NaN or infinite"),
    "infinite depth": ("depth", setting(slice(0, 1), np.inf), "16 values are NaN or infinite"),
    "negative depth": ("depth", setting((5, 5), -0.5), "depth -0.5 m"),
    "label too large": ("label", setting((0, slice(0, 3)), 13), "label 13 at 3 pixels"),
    "label too small": ("label", setting((0, 0), -2), "label -2 at 1 pixels"),
    "label between": ("label", setting((0, 0), 1.5), "label 1.5"),
    "NaN label": ("label", setting((0, 0), np.nan), "NaN"),
    "image of bytes": ("image", lambda v: v * 255, "instead of 0 to 1"),
    "negative image": ("image", lambda v: v - 0.5, "instead of 0 to 1"),
    "one long normal": ("normal", setting((4, 4), 1), "normals of length 1.73 at 1 pixels"),
    "short normals": ("normal", lambda v: v / 2, "normals of length 0.5 at 160 pixels"),
    "NaN normal": ("normal", setting((4, 4), np.nan), "3 values are NaN"),
}


@pytest.mark.parametrize("case", VALUE_FAULTS)
def test_a_value_fault_is_found_by_verify(root, case):
    part, edit, message = VALUE_FAULTS[case]
    path = change(root, part, edit, frame="val/{}/1.npy")
    assert scan(root).faults == []
    faults = verify(root)
    assert len(faults) == 1
    assert faults[0].startswith(f"{path} (frame 1 of val): ")
    assert message in faults[0]


def test_a_missing_partner_is_named(root):
    path = root / "train/normal/2.npy"
    path.unlink()
    assert verify(root) == [f"{path} (frame 2 of train) is missing"]


def test_a_gap_in_one_part_is_named(root):
    for part in ("image", "label", "depth", "normal"):
        (root / f"train/{part}/0.npy").unlink()
    assert len(verify(root)) == 4


@pytest.mark.parametrize("keep", [-1, 100, 20, 0])
def test_a_file_that_was_cut_off_is_named(root, keep):
    path = root / "val/depth/0.npy"
    path.write_bytes(path.read_bytes()[:keep])
    faults = verify(root)
    assert len(faults) == 1
    assert faults[0].startswith(f"{path} (frame 0 of val): ")
    assert "cut off" in faults[0] or "not a readable npy file" in faults[0]


def test_other_names_are_no_frames(root):
    shutil.copy(root / "val/depth/0.npy", root / "val/depth/007.npy")
    assert verify(root) == [
        f"{root / 'val/depth/007.npy'}: frames are named 0.npy, 1.npy and so on"
    ]


def test_several_faults_are_all_listed(root):
    change(root, "depth", setting((0, 0), np.nan))
    change(root, "label", setting((0, 0), 99))
    (root / "val/image/0.npy").unlink()
    assert len(verify(root)) == 3


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ("train/image", "train/depth", "train/label_7", "val/image"),
            "MTAN's layout of Cityscapes",
        ),
        (("leftImg8bit/train", "gtFine/train"), "the layout of Cityscapes"),
        (("training/image",), "holds training/"),
        ((), "holds nothing"),
    ],
)
def test_another_layout_is_recognised(tmp_path, folders, message):
    for folder in folders:
        (tmp_path / "nyuv2" / folder).mkdir(parents=True)
    (tmp_path / "nyuv2").mkdir(exist_ok=True)
    faults = verify(tmp_path / "nyuv2")
    assert any(message in fault for fault in faults)
    assert any("{train,val}/{image,label,depth,normal}/{i}.npy" in fault for fault in faults)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("rooms") / "nyuv2"
    synth(root, 2, 1, 24, 32, jobs=1, report=lambda line: None)
    return root


@pytest.fixture
def rooms(made, tmp_path):
    return shutil.copytree(made, tmp_path / "nyuv2")


def test_a_changed_byte_of_a_made_data_set_is_found(rooms):
    assert verify(rooms) == []
    change(rooms, "depth", lambda v: v + 0.25, frame="train/{}/1.npy")
    assert verify(rooms) == [
        f"{rooms / 'train/depth'} has changed: its SHA-256 is not the one in the manifest"
    ]


def test_frames_added_to_a_made_data_set_are_found(rooms):
    for part in ("image", "label", "depth", "normal"):
        shutil.copy(rooms / f"val/{part}/0.npy", rooms / f"val/{part}/1.npy")
    (fault,) = verify(rooms)
    assert "never mixed" in fault


@pytest.mark.parametrize(
    "edit", [lambda m: "{", lambda m: json.dumps(m | {"kind": "odd"}), lambda m: "{}"]
)
def test_a_damaged_manifest_is_named(rooms, edit):
    manifest = rooms / "manifest.json"
    manifest.write_text(edit(json.loads(manifest.read_text())))
    assert f"{manifest} is damaged" in verify(rooms)[0]
