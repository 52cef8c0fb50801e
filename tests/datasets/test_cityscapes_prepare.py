"""What prepare and verify find, fault by fault."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_bench.datasets.cityscapes_files import Frame
from mtl_bench.datasets.cityscapes_prepare import prepare, verify
from mtl_bench.errors import DataError
from tests.datasets.cityscapes_raw import TRAIN, make_pixels, write_raw
from tests.datasets.test_cityscapes import FAULTS, NAME, damage


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("data") / "cityscapes")


@pytest.fixture
def raw(untouched, tmp_path):
    return Path(shutil.copytree(untouched, tmp_path / "cityscapes"))


def test_the_official_folders_have_no_fault(untouched):
    assert verify(untouched, jobs=1) == []


def test_missing_data_is_one_fault(tmp_path):
    faults = verify(tmp_path / "cityscapes")
    assert len(faults) == 1
    assert "no Cityscapes frames" in faults[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_header_is_found(raw, fault):
    path, message = damage(raw, fault)
    faults = verify(raw, jobs=1)
    assert len(faults) == 1
    assert str(path) in faults[0]
    assert message in faults[0]


def test_faults_of_several_frames_are_all_found(raw):
    for name in TRAIN[1:]:
        (raw / f"disparity/train/{name}_disparity.png").unlink()
    assert len(verify(raw, jobs=2)) == 2


def rewrite(raw, ending, change):
    path = raw / f"gtFine/train/{NAME}_gtFine_{ending}.png"
    with Image.open(path) as image:
        array = np.array(image)
    change(array)
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("ending", "value", "message"),
    [
        ("labelIds", 34, "label 34, the highest is 33"),
        ("labelIds", 255, "label 255, the highest is 33"),
        ("instanceIds", 34, "34 is no instance number"),
        ("instanceIds", 999, "999 is no instance number"),
        ("instanceIds", 7001, "7001 is no instance number"),
        ("instanceIds", 34000, "34000 is no instance number"),
    ],
)
def test_a_number_out_of_range_is_found(raw, ending, value, message):
    path = rewrite(raw, ending, lambda array: array.__setitem__((5, 5), value))
    assert verify(raw, jobs=1) == [f"{path}: {message}"]


def test_damaged_pixels_are_found(raw):
    path = raw / f"disparity/train/{NAME}_disparity.png"
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(len(content) - 400) + content[-200:])
    (fault,) = verify(raw, jobs=1)
    assert str(path) in fault
    assert "can't be decoded" in fault


def test_a_file_without_an_image_is_found(raw):
    (raw / f"leftImg8bit/train/{NAME}_leftImg8bit.png").unlink()
    faults = verify(raw, jobs=1)
    assert len(faults) == 3
    assert all("has no image in leftImg8bit" in fault for fault in faults)


def test_a_copy_that_is_none_is_found(raw):
    prepare(raw, decoded=True, jobs=1, report=lambda line: None)
    assert verify(raw, jobs=1) == []
    copy = Frame(raw, "train", NAME).decoded
    joined = np.load(copy)
    joined[7, 7] += 1
    np.save(copy, joined)
    assert verify(raw, jobs=1) == [f"{copy}: is not the copy of the PNG files: remove it"]
    copy.write_bytes(b"")
    assert verify(raw, jobs=1) == [f"{copy}: is not the copy of the PNG files: remove it"]


def test_prepare_checks_and_says_what_else_it_can_do(raw):
    lines = []
    prepare(raw, report=lines.append)
    assert "5 frames of 256 x 128 pixels" in lines[0]
    assert "decoded=true" in lines[1]
    assert not (raw / "decoded").exists()
    (raw / f"disparity/train/{NAME}_disparity.png").unlink()
    with pytest.raises(DataError, match="is missing"):
        prepare(raw, report=lines.append)


def test_the_miniature_has_what_the_faults_rely_on():
    numbers = np.unique(make_pixels(1)["instances"])
    assert {24, 26000, 33007} <= set(numbers.tolist())
