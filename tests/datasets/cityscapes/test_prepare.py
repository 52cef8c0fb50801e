"""What prepare and verify find, fault by fault."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_bench.advice import data_command
from mtl_bench.cli import main
from mtl_bench.datasets.cityscapes import Cityscapes
from mtl_bench.datasets.cityscapes.files import Frame
from mtl_bench.datasets.cityscapes.frames import read_png
from mtl_bench.datasets.cityscapes.prepare import prepare, synth, verify
from mtl_bench.errors import DataError
from tests.datasets.cityscapes.raw import TRAIN, VAL, make_pixels, write_raw
from tests.datasets.cityscapes.test_dataset import FAULTS, NAME, damage


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
    again = data_command("prepare", "cityscapes", raw, decoded=True)
    fault = f"{copy}: is not the copy of the PNG files: remove it, or write it anew with `{again}`"
    assert verify(raw, jobs=1) == [fault]
    copy.write_bytes(b"")
    assert verify(raw, jobs=1) == [fault]


@pytest.mark.parametrize("damage", ["values", "shape", "length"])
def test_preparing_again_mends_the_copies_that_have_changed_and_no_others(raw, damage):
    lines = []
    prepare(raw, decoded=True, jobs=1, report=lines.append)
    assert lines[-1] == "5 of 5 frames, 5 copies written"
    copies = {path: path.read_bytes() for path in (raw / "decoded").rglob("*.npy")}
    times = {path: path.stat().st_mtime_ns for path in copies}
    changed = Frame(raw, "train", NAME).decoded
    joined = np.load(changed)
    if damage == "values":
        joined[7, 7] += 1
    np.save(changed, joined[:-1] if damage == "shape" else joined)
    if damage == "length":
        changed.write_bytes(changed.read_bytes()[:-1])
    prepare(raw, decoded=True, jobs=1, report=lines.append)
    assert lines[-1] == "5 of 5 frames, 1 copies written"
    assert {path: path.read_bytes() for path in copies} == copies
    assert {path for path in copies if path.stat().st_mtime_ns != times[path]} == {changed}
    assert verify(raw, jobs=1) == []


COPY_FAULTS = {
    "rows": (lambda a: a[:-1], r"shape \(127, 256, 8\) of uint8, not \(128, 256, 8\)"),
    "axes": (lambda a: a.reshape(-1), r"shape \(262144,\)"),
    "type": (lambda a: a.astype(np.uint16), "of uint16"),
    "objects": (lambda a: a.astype(object), "Python objects are never loaded"),
}


@pytest.mark.parametrize("fault", COPY_FAULTS)
def test_training_names_a_copy_that_can_be_none(raw, fault):
    prepare(raw, decoded=True, jobs=1, report=lambda line: None)
    change, message = COPY_FAULTS[fault]
    copy = Frame(raw, "train", NAME).decoded
    np.save(copy, change(np.load(copy)))
    with pytest.raises(DataError, match=rf"{NAME}\.npy is damaged .*{message}") as caught:
        list(Cityscapes(str(raw), seed=0, batch_size=3).train_batches(1))
    assert f"data prepare cityscapes decoded=true paths.data={raw.parent}`" in str(caught.value)
    copy.write_bytes(copy.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"is damaged .*(bytes instead of|Python objects)"):
        list(Cityscapes(str(raw), seed=0, batch_size=3).train_batches(1))


def test_verify_lists_every_fault_and_a_summary(raw, capsys):
    train = raw / "gtFine/train"
    (raw / f"disparity/train/{TRAIN[0]}_disparity.png").unlink()
    Image.new("RGB", (256, 128)).save(train / f"{NAME}_gtFine_labelIds.png")
    image = raw / f"leftImg8bit/train/{TRAIN[2]}_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:-3])
    (raw / f"leftImg8bit/val/{VAL[0]}_leftImg8bit.png").unlink()
    assert main(["data", "verify", "cityscapes", f"paths.data={raw.parent}"]) == 2
    *faults, summary = capsys.readouterr().err.splitlines()
    for message in (
        f"{TRAIN[0]}_disparity.png: is missing",
        f"{NAME}_gtFine_labelIds.png: 8 bits a channel and PNG colour type 2, must be 8-bit grey",
        f"{TRAIN[2]}_leftImg8bit.png: is cut short",
        f"{VAL[0]}_gtFine_labelIds.png: has no image in leftImg8bit",
    ):
        assert sum(message in fault for fault in faults) == 1, message
    assert len(faults) == 6  # three files have no image
    assert summary == (
        f"mtl-bench: {raw} has 6 faults: unpack each PNG file that is named again, from its package"
    )


@pytest.mark.parametrize("size", [(0, 0), (100, 64), (64, 100)])
def test_a_size_that_targets_cannot_be_sampled_from_is_refused_by_the_header(raw, size):
    for path in raw.rglob("*_*.png"):
        content = bytearray(path.read_bytes())
        content[16:24] = b"".join(length.to_bytes(4, "big") for length in size)
        path.write_bytes(content)
    message = f"{size[0]} x {size[1]} pixels; both must be multiples of 32"
    (fault,) = verify(raw, jobs=1)
    assert message in fault
    with pytest.raises(DataError, match=message):
        Cityscapes(str(raw), seed=0, batch_size=3)


def test_any_damage_within_a_file_is_one_kind_of_error(raw):
    path = raw / f"disparity/train/{NAME}_disparity.png"
    content = path.read_bytes()
    frame, refused = Frame(raw, "train", NAME), 0
    rng = np.random.default_rng(0)
    for _ in range(100):
        changed = bytearray(content)
        for position in rng.integers(8, 120, 3):
            changed[position] = rng.integers(256)
        path.write_bytes(changed)
        try:
            read_png(frame, "disparity")
        except DataError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "real"}', '{"kind": "procedural"}'])
def test_a_damaged_note_of_procedural_scenes_is_named(raw, text):
    (raw / "procedural.json").write_text(text)
    for use in (lambda: Cityscapes(str(raw), seed=0, batch_size=3), lambda: synth(raw, jobs=1)):
        with pytest.raises(DataError, match=r"procedural\.json is damaged") as caught:
            use()
        assert str(caught.value).endswith(
            f"run `mtl-bench data synth cityscapes paths.data={raw.parent}` again"
        )


def test_prepare_checks_and_says_what_else_it_can_do(raw):
    lines = []
    prepare(raw, report=lines.append)
    assert "5 frames of 256 x 128 pixels" in lines[0]
    assert "decoded=true" in lines[1]
    assert not (raw / "decoded").exists()
    (raw / f"disparity/train/{NAME}_disparity.png").unlink()
    with pytest.raises(DataError, match=f"is missing.*verify cityscapes paths.data={raw.parent}`"):
        prepare(raw, report=lines.append)


def test_the_miniature_has_what_the_faults_rely_on():
    numbers = np.unique(make_pixels(1)["instances"])
    assert {24, 26000, 33007} <= set(numbers.tolist())
