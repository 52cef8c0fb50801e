"""Runs side by side: what one of them that is killed, or a request to stop, does to the others."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.launch.processes import launch, visible_gpus
from tests.end_to_end.processes import ENVIRONMENT
from tests.launch import stand_ins
from tests.nightly import gate

PROGRAM = """
import sys
from mtl_bench.launch.processes import launch
from tests.launch import stand_ins
cells = [[f"folder={sys.argv[1]}", f"seed={k}"] for k in range(4)]
for cell in launch(getattr(stand_ins, sys.argv[2]), cells, {"n_jobs": 2, "per_gpu": 1}):
    print(cell.state, cell.error)
"""


def cells_of(folder, count):
    return [[f"folder={folder}", f"seed={k}"] for k in range(count)]


def settings(jobs, per_gpu=1):
    return {"n_jobs": jobs, "per_gpu": per_gpu}


def test_every_cell_has_a_process_and_no_two_share_a_slot(tmp_path):
    cells = cells_of(tmp_path, 3)
    answers = launch(stand_ins.finish, cells, settings(2))
    assert [answer.overrides for answer in answers] == cells
    assert {answer.state for answer in answers} == {"finished"}
    told = [(tmp_path / f"seed={k}").read_text().split() for k in range(3)]
    assert len({process for process, _ in told} | {str(os.getpid())}) == 4
    assert [slot for _, slot in told][:2] == ["0", "1"]
    assert {slot for _, slot in told} == {"0", "1"}


def test_a_run_that_is_killed_fails_alone(tmp_path):
    answers = launch(stand_ins.kill_the_second, cells_of(tmp_path, 4), settings(2))
    assert [answer.state for answer in answers] == ["finished", "failed", "finished", "finished"]
    assert answers[1].overrides[-1] == "seed=1"
    assert "was killed by SIGKILL" in answers[1].error
    assert "lower hydra.launcher.n_jobs" in answers[1].error
    assert {path.name for path in tmp_path.iterdir()} == {"seed=0", "seed=2", "seed=3"}


def test_a_process_without_an_answer_is_named_by_its_status(tmp_path):
    answers = launch(stand_ins.raise_in_the_second, cells_of(tmp_path, 2), settings(2))
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
    gate(1, [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGUSR1, False)]),
    ids=["Ctrl-C", "SIGTERM to the sweep", "SIGUSR1 to the sweep"],
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
        (answer,) = launch(stand_ins.tell_settings, cells_of(tmp_path, 1), settings(jobs))
        assert answer.error == str(told)


def gpus_of(folder, cells, jobs, per_gpu):
    """Return of every cell the GPU that its process was let see, and in how many slots they ran."""
    answers = launch(stand_ins.tell_gpu, cells, settings(jobs, per_gpu))
    assert {answer.state for answer in answers} == {"finished"}
    told = [answer.error.split("/") for answer in answers]
    return [gpu for gpu, _ in told], len({slot for _, slot in told})


@pytest.mark.parametrize(
    ("visible", "per_gpu", "seen", "slots"),
    gate(
        2,
        [
            ("0,1", 1, ["0", "1"], 2),
            ("4,-1,5", 1, ["4", "4"], 1),
            ("3", 2, ["3", "3"], 2),
            ("GPU-a, MIG-b", 2, ["GPU-a", "MIG-b"], 2),
            ("", 1, ["", ""], 2),
        ],
    ),
)
def test_a_process_sees_one_gpu_that_no_more_than_so_many_share(
    visible, per_gpu, seen, slots, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of(tmp_path, cells_of(tmp_path, 2), 2, per_gpu) == (seen, slots)
    assert ("1 at a time" in capsys.readouterr().out) == (slots == 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def test_processes_of_a_sweep_that_names_its_device_see_all(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    cells = [[*cell, "trainer.device=cuda:1"] for cell in cells_of(tmp_path, 2)]
    assert gpus_of(tmp_path, cells, 2, 1) == (["3,4", "3,4"], 2)


def test_without_the_variable_gpus_are_those_of_the_machine(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert visible_gpus() == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["n_jobs", "per_gpu"])
@pytest.mark.parametrize("count", [0, -1, 1.5, None, "two"])
def test_a_number_of_processes_that_is_none_is_named(name, count):
    with pytest.raises(ConfigError, match=f"hydra.launcher.{name}={count}: must be a whole number"):
        launch(stand_ins.finish, [["seed=0"]], settings(1) | {name: count})
