"""What `mtl-bench data verify` advises and warns of."""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from mtl_bench.cli import main
from mtl_bench.datasets.cityscapes.prepare import prepare
from mtl_bench.datasets.cityscapes.prepare import verify as verify_cityscapes
from mtl_bench.datasets.nyuv2.prepare import verify as verify_nyuv2
from mtl_bench.datasets.procedural.rooms import synth as rooms
from mtl_bench.datasets.procedural.streets import synth as streets
from tests.datasets.cityscapes.raw import TRAIN, write_raw
from tests.datasets.nyuv2 import folder as nyuv2_folder


@pytest.fixture
def data(tmp_path):
    """A folder of data whose name must be quoted twice."""
    return tmp_path / "my, data"


def verify(dataset, data, capsys):
    """Return the exit status of the command and its last line."""
    status = main(["data", "verify", dataset, f'paths.data="{data}"'])
    return status, capsys.readouterr().err.splitlines()[-1:]


def advised(line):
    return re.findall("`mtl-bench (.*?)`", line)


def test_procedural_rooms_are_mended_by_what_is_advised(data, capsys):
    rooms.synth(data / "nyuv2", 2, 1, 32, 64, seed=3, jobs=1, report=lambda line: None)
    depth = data / "nyuv2/train/depth/1.npy"
    before = depth.read_bytes()
    depth.write_bytes(before[:-1])
    status, (line,) = verify("nyuv2", data, capsys)
    assert status == 2
    (command,) = advised(line)
    assert main(shlex.split(command)) == 0
    assert depth.read_bytes() == before
    assert verify("nyuv2", data, capsys) == (0, [])


def test_procedural_streets_are_mended_by_what_is_advised(data, capsys):
    streets.synth(data / "cityscapes", 2, 1, 64, 128, seed=3, jobs=1, report=lambda line: None)
    image = next((data / "cityscapes/leftImg8bit").rglob("*.png"))
    before = image.read_bytes()
    image.write_bytes(before[:-20] + before[-12:])
    status, (line,) = verify("cityscapes", data, capsys)
    assert status == 2
    (command,) = advised(line)
    assert f"move {data / 'cityscapes'} away and run" in line
    shutil.move(data / "cityscapes", data / "away")
    assert main(shlex.split(command)) == 0
    assert image.read_bytes() == before
    assert verify("cityscapes", data, capsys) == (0, [])


def test_no_command_is_advised_for_a_png_of_a_package(data, capsys):
    write_raw(data / "cityscapes")
    (data / f"cityscapes/disparity/train/{TRAIN[0]}_disparity.png").write_bytes(b"")
    status, (line,) = verify("cityscapes", data, capsys)
    assert status == 2
    assert advised(line) == []
    assert "unpack each PNG file that is named again" in line


def test_a_decoded_copy_is_mended_by_what_is_advised(data, capsys):
    root = write_raw(data / "cityscapes")
    prepare(root, decoded=True, jobs=1, report=lambda line: None)
    copy = next(root.rglob("decoded/**/*.npy"))
    before = copy.read_bytes()
    copy.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    (fault,) = verify_cityscapes(root, jobs=1)
    (command,) = advised(fault)
    assert main(shlex.split(command)) == 0
    assert copy.read_bytes() == before
    assert verify_cityscapes(root, jobs=1) == []


@pytest.mark.parametrize("dataset", ["nyuv2", "qm9"])
def test_missing_data_name_the_commands_for_this_folder(dataset, data, capsys):
    status, (line,) = verify(dataset, data, capsys)
    assert status == 2
    commands = [shlex.split(command) for command in advised(line)]
    assert [command[:3] for command in commands] == {
        "nyuv2": [["data", "synth", "nyuv2"], ["data", "prepare", "nyuv2"]],
        "qm9": [["data", "prepare", "qm9"]],
    }[dataset]
    assert all(f'paths.data="{data}"' in command for command in commands)


def test_qm9_is_built_anew_from_its_own_source(data, capsys):
    (data / "qm9").mkdir(parents=True)
    (data / "qm9/manifest.json").write_text('{"source": "pyg"}')
    _, (line,) = verify("qm9", data, capsys)
    assert "data prepare qm9 source=pyg" in line


def warnings_of(verify, root):
    lines = []
    assert verify(root, report=lines.append) == []
    return lines


def test_a_sound_data_set_has_no_warning(small_data):
    assert warnings_of(verify_nyuv2, small_data / "nyuv2") == []
    assert warnings_of(verify_cityscapes, small_data / "cityscapes") == []


def edit(root, part, frames, change):
    for frame in frames:
        path = root / f"train/{part}/{frame}.npy"
        np.save(path, change(np.load(path)))


def test_depths_in_millimetres_are_warned_of(tmp_path):
    nyuv2_folder.write(tmp_path, train=8)
    edit(tmp_path, "depth", range(1, 8), lambda depth: 1000 * depth)
    assert warnings_of(verify_nyuv2, tmp_path) == [
        f"{tmp_path}: depths that look like millimetres instead of metres in 7 frames: train/1, "
        "train/2, train/3, train/4, train/5 and 2 more"
    ]


@pytest.mark.parametrize(("part", "void"), [("label", -1), ("depth", 0), ("normal", 0)])
def test_frames_without_any_target_are_warned_of(part, void, tmp_path):
    nyuv2_folder.write(tmp_path)
    edit(tmp_path, part, [2], lambda values: np.full_like(values, void))
    (line,) = warnings_of(verify_nyuv2, tmp_path)
    assert line == f"{tmp_path}: no pixel with a valid {part} in 1 frame: train/2"


@pytest.mark.parametrize(
    ("ending", "named"), [("gtFine_labelIds", "label"), ("disparity", "disparity")]
)
def test_streets_without_any_target_are_warned_of(ending, named, tmp_path, capsys):
    write_raw(tmp_path)
    (path,) = tmp_path.rglob(f"{TRAIN[1]}_{ending}.png".rpartition("/")[2])
    with Image.open(path) as image:
        void = np.full_like(np.array(image), 4 if named == "label" else 0)
    Image.fromarray(void).save(path)
    lines = []
    faults = verify_cityscapes(tmp_path, jobs=1, report=lines.append)
    assert faults == []
    assert lines == [f"{tmp_path}: no pixel with a valid {named} in 1 frame: train/{TRAIN[1]}"]


def test_a_warning_is_no_fault_of_the_command(data, capsys):
    nyuv2_folder.write(data / "nyuv2")
    edit(data / "nyuv2", "label", [0, 1], lambda label: np.full_like(label, -1))
    status, (line,) = verify("nyuv2", data, capsys)
    assert status == 0
    assert line.startswith("mtl-bench: WARNING: ")
    assert line.endswith("no pixel with a valid label in 2 frames: train/0, train/1")


def test_a_damaged_note_of_procedural_streets_is_named(data, capsys):
    streets.synth(data / "cityscapes", 1, 1, 64, 128, jobs=1, report=lambda line: None)
    (data / "cityscapes/procedural.json").write_text('{"kind": "procedural", "source": "s"}')
    next((data / "cityscapes/gtFine").rglob("*.png")).write_bytes(b"")
    status, (line,) = verify("cityscapes", data, capsys)
    assert status == 2
    assert "procedural.json is damaged" in line
    assert len(advised(line)) == 1
