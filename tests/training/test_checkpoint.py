"""Checkpoints survive crashes, damage and mistakes."""

import errno
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mtl_bench.config.identity import config_hash
from mtl_bench.errors import MtlBenchError, RecordError
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.training.checkpoint import (
    FORMAT,
    Checkpoints,
    explain_misfit,
)
from tests.training.runs import Watcher, config_of, trainer_of

CONFIG = {"seed": 0, "method": {"name": "ls", "gamma": 0.9}, "dataset": {"name": "qm9"}}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint folder with two saves in it; the number tells them apart."""
    for number in (1, 2):
        save(tmp_path, number)
    return tmp_path


def save(folder, number, size=1000):
    state = {"number": number, "values": torch.full((size,), float(number))}
    Checkpoints(folder, CONFIG, "abc").save(state)


def load(folder, config=CONFIG, digest="abc"):
    state = Checkpoints(folder, config, digest).load()
    return state and state["number"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_round_trip_keeps_values_and_types(tmp_path):
    state = {
        "tensor": torch.arange(3, dtype=torch.float64),
        "nested": [{"a": (1, 2.5, None, "x", True)}, torch.tensor(float("nan"))],
    }
    Checkpoints(tmp_path, CONFIG, "abc").save(state)
    loaded = Checkpoints(tmp_path, CONFIG, "abc").load()
    assert torch.equal(loaded["tensor"], state["tensor"])
    assert loaded["tensor"].dtype == torch.float64
    assert loaded["nested"][0] == state["nested"][0]
    assert loaded["nested"][1].isnan()


def test_an_empty_folder_has_none(tmp_path):
    assert load(tmp_path) is None


def test_the_newest_counts_and_the_one_before_is_kept(folder):
    assert load(folder) == 2
    assert names(folder) == ["last.pt", "previous.pt"]
    (folder / "last.pt").unlink()
    assert load(folder) == 1


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_a_file_system_without_hard_links_keeps_the_one_before_too(folder, code, monkeypatch):
    def refuse(source, *_):
        raise OSError(code, os.strerror(code), str(source))

    monkeypatch.setattr(os, "link", refuse)
    save(folder, 3)
    assert load(folder) == 3
    assert names(folder) == ["last.pt", "previous.pt"]
    (folder / "last.pt").unlink()
    assert load(folder) == 2


class Unsaveable:
    def __reduce__(self):
        raise RuntimeError("midway")


def test_a_save_that_fails_midway_keeps_the_old_one(folder):
    with pytest.raises(RuntimeError, match="midway"):
        Checkpoints(folder, CONFIG, "abc").save({"values": torch.ones(10), "bad": Unsaveable()})
    assert load(folder) == 2
    assert names(folder) == ["last.pt", "previous.pt"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.training.test_checkpoint import save
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
save(Path(sys.argv[1]), 3, size=100_000)
"""


@pytest.mark.nightly
@pytest.mark.parametrize("limit", [100_000, 0, 1])
def test_a_full_disk_keeps_the_old_one_and_says_so(folder, limit):
    """The limit on file sizes stands for a full disk; the kernel answers EFBIG to the write."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, folder, str(limit)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mtl_bench.errors.MtlBenchError: disk full while writing")
    assert str(folder / "last.pt") in last
    assert names(folder) == ["last.pt", "previous.pt"]
    assert load(folder) == 2


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def truncate(path, size):
    path.write_bytes(path.read_bytes()[:size])


def tensor_bytes(path):
    """Return a position inside the saved values."""
    return path.read_bytes().index(torch.full((100,), 2.0).numpy().tobytes()) + 50


DAMAGE = {
    "empty": lambda path: truncate(path, 0),
    "one byte": lambda path: truncate(path, 1),
    "half": lambda path: truncate(path, path.stat().st_size // 2),
    "a byte short": lambda path: truncate(path, path.stat().st_size - 1),
    "flipped value": lambda path: flip(path, tensor_bytes(path)),
    "flipped header": lambda path: flip(path, 0),
    "flipped end": lambda path: flip(path, path.stat().st_size - 20),
    "its beginning lost": lambda path: path.write_bytes(path.read_bytes()[100:]),
    "text": lambda path: path.write_text("not a checkpoint"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(folder, damage, capsys):
    DAMAGE[damage](folder / "last.pt")
    assert load(folder) == 1
    said = capsys.readouterr().out
    assert "last.pt is damaged" in said
    assert "going on from previous.pt" in said


def test_a_flipped_bit_anywhere_is_never_believed(folder):
    """Whatever bit flips, a load gives the newest state, the one before, or an error."""
    original = (folder / "last.pt").read_bytes()
    before = (folder / "previous.pt").read_bytes()
    for position in range(0, len(original), 61):
        (folder / "last.pt").write_bytes(original)
        (folder / "previous.pt").write_bytes(before)
        flip(folder / "last.pt", position)
        try:
            state = Checkpoints(folder, CONFIG, "abc").load()
        except RecordError:
            continue
        assert state["number"] in (1, 2)
        assert torch.equal(state["values"], torch.full((1000,), float(state["number"])))


def test_after_a_fallback_the_next_failure_still_finds_a_good_one(folder):
    truncate(folder / "last.pt", 100)
    assert load(folder) == 1
    save(folder, 3)
    truncate(folder / "last.pt", 100)
    assert load(folder) == 1


def test_two_damaged_checkpoints_are_an_error_that_names_both(folder):
    for name in ("last.pt", "previous.pt"):
        truncate(folder / name, 100)
    with pytest.raises(RecordError, match=r"last\.pt is damaged .*previous\.pt is damaged") as info:
        load(folder)
    assert "\n" not in str(info.value)
    assert "move" in str(info.value)


REFUSALS = {
    "a bad block": OSError(errno.EIO, "Input/output error"),
    "no memory in Python": MemoryError(),
    "no memory in torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    "no memory on a device": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_the_system_refuses_is_no_damage(folder, refusal, monkeypatch):
    """A whole checkpoint that can't be read at the moment gives way to nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refuse(*_, **__):
        raise REFUSALS[refusal]

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", refuse)
        with pytest.raises(MtlBenchError, match=r"last\.pt .*the same command continues") as info:
            load(folder)
    assert not isinstance(info.value, RecordError)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert load(folder) == 2


def test_a_device_without_room_for_a_state_does_not_make_it_misfit(folder):
    with pytest.raises(torch.OutOfMemoryError), explain_misfit(folder):
        raise REFUSALS["no memory on a device"]


class BadBlock:
    """An open file whose last kilobyte the disk can't give back."""

    def __init__(self, path):
        self.file, self.size = io.BytesIO(path.read_bytes()), path.stat().st_size

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self, count=-1):
        if count < 0 or self.file.tell() + count > self.size - 1024:
            raise OSError(errno.EIO, "Input/output error")
        return self.file.read(count)


def test_a_block_that_cant_be_read_is_no_bad_format(folder, monkeypatch):
    """zipfile calls a file whose end can't be read no zip file."""
    files = {path: BadBlock(path) for path in folder.iterdir()}
    monkeypatch.setattr(Path, "open", lambda path, *_: files[path])
    with pytest.raises(MtlBenchError, match=r"can't read .*last\.pt \(Input/output error\)"):
        load(folder)
    assert names(folder) == ["last.pt", "previous.pt"]


def test_a_look_at_a_damaged_checkpoint_changes_no_file(folder, capsys):
    truncate(folder / "last.pt", 100)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = Checkpoints(folder, CONFIG, "abc").peek()
    assert state["number"] == 1
    assert "going on from previous.pt" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_configuration_is_refused_with_the_difference(folder):
    other = CONFIG | {"seed": 1, "method": {"name": "ls", "gamma": 0.5, "tau": 1}}
    with pytest.raises(RecordError) as info:
        load(folder, other, "other")
    assert "method.gamma: 0.9 -> 0.5; method.tau: None -> 1; seed: 0 -> 1" in str(info.value)


def test_another_format_is_refused(folder):
    content = torch.load(folder / "last.pt", weights_only=True)
    torch.save(content | {"format": FORMAT + 1}, folder / "last.pt")
    with pytest.raises(RecordError, match=f"format {FORMAT + 1}, this version reads {FORMAT}"):
        load(folder)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_no_code_in_a_checkpoint_is_executed(tmp_path):
    proof = tmp_path / "executed"
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    content = {"format": FORMAT, "hash": "abc", "config": "{}", "state": Malicious(proof)}
    torch.save(content, folder / "last.pt")
    (folder / "previous.pt").write_bytes(pickle.dumps(content))
    with pytest.raises(RecordError, match="damaged"):
        load(folder)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [1], "it lacks"),
        (lambda content: {k: v for k, v in content.items() if k != "state"}, "it lacks state"),
        (lambda content: content | {"state": [1]}, "its state is no dictionary"),
        (lambda content: content | {"config": "{"}, "JSONDecodeError"),
        (lambda content: torch.zeros(3), "it lacks"),
    ],
)
def test_a_checkpoint_of_another_make_is_damaged(folder, change, message):
    content = torch.load(folder / "last.pt", weights_only=True)
    torch.save(change(content), folder / "last.pt")
    (folder / "previous.pt").unlink()
    with pytest.raises(RecordError, match=rf"last\.pt is damaged .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("network"),
        lambda state: state["network"].popitem(),
        lambda state: state["network"].update({"more": torch.zeros(1)}),
        lambda state: state["learners"].pop(),
        lambda state: state["progress"].update({"unknown": 1}),
        lambda state: state.pop("data"),
        lambda state: state["generators"].update({"python": (3, (), None)}),
        lambda state: state.update({"method": 3}),
    ],
)
def test_a_state_that_fits_no_network_of_the_run_is_one_line(change, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=taskforce", "trainer.epochs=1")
    digest = config_hash(config)
    with RunRecord(record_path(config, digest)) as record:
        trainer = trainer_of(config, record, Watcher())
        state = trainer.state_dict()
        change(state)
        Checkpoints(record.checkpoints, config, digest).save(state)
        with pytest.raises(RecordError, match=r"does not fit the run .*move the folder") as caught:
            trainer_of(config, record, Watcher()).resume()
    assert str(record.path) in str(caught.value)
    assert "\n" not in str(caught.value)
