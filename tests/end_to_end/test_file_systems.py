"""Runs and data sets on file systems without locks, or whose folders can't be synced."""

import errno
import fcntl
import os
import stat
from functools import partial

import pytest

from tests.end_to_end.processes import call
from tests.end_to_end.test_command_line import TINY


def refuse(name):
    raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))


def be_odd(locks, sync):
    """Let locks, or the syncing of folders, fail with these errors; ``-`` stands for none."""
    if locks != "-":
        fcntl.flock = lambda *_: refuse(locks)
    plain_fsync = os.fsync

    def fsync(file):
        if sync != "-" and stat.S_ISDIR(os.fstat(file).st_mode):
            refuse(sync)
        plain_fsync(file)

    os.fsync = fsync


def on(locks, sync, *words, cwd):
    return call(*words, cwd=cwd, before=partial(be_odd, locks, sync))


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
