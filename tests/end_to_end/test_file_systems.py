"""Runs and data sets on file systems without locks, or whose folders can't be synced."""

import subprocess
import sys

import pytest

from tests.end_to_end.processes import ENVIRONMENT, ROOT, call
from tests.end_to_end.test_command_line import TINY

ODD = ROOT / "tests" / "end_to_end" / "odd_systems.py"


def on(locks, sync, *words, cwd):
    return subprocess.run(
        [sys.executable, ODD, locks, sync, *words],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def desk(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    return tmp_path


def warnings_of(done):
    lines = done.stderr.splitlines()
    assert all(line.startswith("mtl-bench: WARNING: ") for line in lines), lines
    return [line.removeprefix("mtl-bench: WARNING: ") for line in lines]


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP"])
def test_a_run_without_locks_goes_on_and_says_what_is_lost(name, desk):
    done = on(name, "-", *TINY, "trainer.epochs=1", cwd=desk)
    assert done.returncode == 0, done.stderr
    (record,) = (path.parent for path in desk.rglob("DONE"))
    (warning,) = warnings_of(done)
    assert warning.startswith(f"{record.relative_to(desk)}: the file system has no locks (")
    assert warning.endswith("two processes may train this run at once and spoil its record")
    assert "1 finished" in call("status", cwd=desk).stdout


def test_status_without_locks_lists_what_was_interrupted(desk):
    assert call(*TINY, "trainer.epochs=1", cwd=desk).returncode == 0
    (seal,) = desk.rglob("DONE")
    seal.unlink()
    done = on("ENOLCK", "-", "status", cwd=desk)
    assert done.returncode == 0
    assert "interrupted 1/1" in done.stdout
    (warning,) = warnings_of(done)
    assert "a run that is going on looks interrupted, and two processes may" in warning


def test_a_run_whose_folders_cant_be_synced_goes_on_with_one_warning(desk):
    done = on("-", "EINVAL", *TINY, "trainer.epochs=2", cwd=desk)
    assert done.returncode == 0, done.stderr
    (record,) = (path.parent for path in desk.rglob("DONE"))
    (warning,) = warnings_of(done)
    assert warning == (
        f"{record.relative_to(desk)}: folders can't be synced (Invalid argument): a power cut may "
        "undo what was written last"
    )


def test_a_data_set_is_made_on_the_oddest_file_system(tmp_path):
    words = ("data", "synth", "nyuv2", "train=2", "val=1", "height=32", "width=64", "jobs=1")
    done = on("ENOLCK", "EINVAL", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    locks, syncs = warnings_of(done)
    assert locks.startswith("data: the file system has no locks (No locks available): two commands")
    assert "folders can't be synced (Invalid argument): a power cut may" in syncs
    assert call("data", "verify", "nyuv2", cwd=tmp_path).returncode == 0


def test_an_error_of_the_disk_is_still_an_error(desk):
    done = on("-", "EIO", *TINY, "trainer.epochs=1", cwd=desk)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == "mtl-bench: Input/output error"
