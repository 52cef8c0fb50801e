"""Runs side by side: what one of them that is killed, or a request to stop, does to the others."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.launch.processes import launch
from tests.end_to_end.processes import ENVIRONMENT
from tests.launch import stand_ins

PROGRAM = """
import sys
from mtl_bench.launch.processes import launch
from tests.launch import stand_ins
cells = [[f"folder={sys.argv[1]}", f"seed={k}"] for k in range(4)]
for cell in launch(getattr(stand_ins, sys.argv[2]), cells, {"n_jobs": 2}):
    print(cell.state, cell.error)
"""


def cells_of(folder, count):
    return [[f"folder={folder}", f"seed={k}"] for k in range(count)]


def test_every_cell_has_a_process_and_no_two_share_a_slot(tmp_path):
    cells = cells_of(tmp_path, 3)
    answers = launch(stand_ins.finish, cells, {"n_jobs": 2})
    assert [answer.overrides for answer in answers] == cells
    assert {answer.state for answer in answers} == {"finished"}
    told = [(tmp_path / f"seed={k}").read_text().split() for k in range(3)]
    assert len({process for process, _ in told} | {str(os.getpid())}) == 4
    assert [slot for _, slot in told][:2] == ["0", "1"]
    assert {slot for _, slot in told} == {"0", "1"}


def test_a_run_that_is_killed_fails_alone(tmp_path):
    answers = launch(stand_ins.kill_the_second, cells_of(tmp_path, 4), {"n_jobs": 2})
    assert [answer.state for answer in answers] == ["finished", "failed", "finished", "finished"]
    assert answers[1].overrides[-1] == "seed=1"
    assert "was killed by SIGKILL" in answers[1].error
    assert "lower hydra.launcher.n_jobs" in answers[1].error
    assert {path.name for path in tmp_path.iterdir()} == {"seed=0", "seed=2", "seed=3"}


def test_a_process_without_an_answer_is_named_by_its_status(tmp_path):
    answers = launch(stand_ins.raise_in_the_second, cells_of(tmp_path, 2), {"n_jobs": 2})
    assert [answer.state for answer in answers] == ["finished", "failed"]
    assert "ended with status 3" in answers[1].error


@pytest.fixture
def start():
    """Begin four cells in a process group of its own and wait for two of them."""
    begun = []

    def begin(folder, task):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), task],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        deadline = time.monotonic() + 60
        while len([path for path in folder.glob("begun-*") if path.read_text()]) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    yield begin
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def assert_gone(folder):
    for path in folder.glob("begun-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGTERM, False), (signal.SIGUSR1, False), (signal.SIGINT, True)],
    ids=["SIGTERM to the sweep", "SIGUSR1 to the sweep", "Ctrl-C"],
)
def test_a_request_to_stop_lets_all_save_and_begins_no_other(number, group, start, tmp_path):
    process = start(tmp_path, "save_when_told")
    (os.killpg if group else os.kill)(process.pid, number)
    told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("begun-seed=0", "begun-seed=1", "saved-seed=0", "saved-seed=1")
    }
    assert told.splitlines() == [
        *["interrupted SIGTERM: stopped"] * 2,
        *["interrupted stopped before it began; the same command continues there"] * 2,
    ]
    assert_gone(tmp_path)


def test_a_second_ctrl_c_ends_them_at_once(start, tmp_path):
    process = start(tmp_path, "save_forever")
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    _, errors = process.communicate(timeout=60)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert_gone(tmp_path)


def test_processes_share_the_processors(tmp_path, monkeypatch):
    processors = len(os.sched_getaffinity(0))
    for given, jobs, told in ((None, 1, processors), (None, 64, 1), ("3", 1, 3)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        (answer,) = launch(stand_ins.tell_settings, cells_of(tmp_path, 1), {"n_jobs": jobs})
        assert answer.error == str(told)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, None, "two"])
def test_a_number_of_processes_that_is_none_is_named(jobs):
    with pytest.raises(ConfigError, match=f"hydra.launcher.n_jobs={jobs}: must be a whole number"):
        launch(stand_ins.finish, [["seed=0"]], {"n_jobs": jobs})
