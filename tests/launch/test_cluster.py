"""Jobs of a cluster: what becomes of them at a time limit, when killed, and left alone."""

import os
import signal
import threading
import time

import pytest

from mtl_bench.errors import Interrupted, MtlBenchError
from mtl_bench.launch.cluster import launch
from tests.launch import stand_ins
from tests.launch.slurm import make_slurm
from tests.nightly import gate

submitit = pytest.importorskip("submitit")


@pytest.fixture(params=gate(1, ["slurm", "local"]))
def kind(request, tmp_path, monkeypatch):
    """Both kinds, on this machine, with the time that submitit waits for a result cut short."""
    (tmp_path / "slurm").mkdir()
    for name, value in make_slurm(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 1)
    return request.param


def cells_of(folder, count):
    return [[f"folder={folder}", f"seed={k}"] for k in range(count)]


def settings_of(folder):
    return {"submitit_folder": str(folder / "jobs" / "%j"), "timeout_min": 10}


def test_jobs_at_their_time_limit_are_queued_again(kind, tmp_path):
    cells = cells_of(tmp_path, 2)
    answers = launch(kind, stand_ins.time_out_once, cells, settings_of(tmp_path))
    assert [answer.overrides for answer in answers] == cells
    assert [answer.state for answer in answers] == ["finished"] * 2
    assert len(list(tmp_path.glob("told-*"))) == 2


def test_a_number_of_times_that_is_given_is_the_limit(kind, tmp_path):
    settings = settings_of(tmp_path) | {"max_num_timeout": 1}
    (answer,) = launch(kind, stand_ins.time_out_always, cells_of(tmp_path, 1), settings)
    assert answer.state == "failed"
    assert len(list(tmp_path.glob("told-*"))) == 2


def test_a_job_that_is_killed_fails_alone(kind, tmp_path):
    cells = cells_of(tmp_path, 3)
    answers = launch(kind, stand_ins.kill_the_second, cells, settings_of(tmp_path))
    assert [answer.state for answer in answers] == ["finished", "failed", "finished"]
    state = {"local": "FINISHED", "slurm": "OUT_OF_MEMORY"}[kind]
    assert f"ended without a result (state: {state}): see {tmp_path}/jobs/" in answers[1].error
    assert answers[1].error.endswith("_0_log.err")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_sweep_that_is_stopped_leaves_its_jobs_alone(kind, tmp_path):
    def stop():
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted, match=r"SIGTERM: not waiting any longer for the jobs \d+; "):
        launch(kind, stand_ins.wait_for_a_file, cells_of(tmp_path, 1), settings_of(tmp_path))
    (tmp_path / "enough").touch()
    while not (tmp_path / "seed=0").exists():
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        ("slurm", {}, 'hydra/launcher=submitit_slurm: Could not detect "srun"'),
        ("local", {"nodes": 2}, "hydra/launcher=submitit_local: LocalExecutor can use only one"),
    ],
)
def test_what_can_not_be_submitted_is_one_line(kind, wrong, told, tmp_path):
    with pytest.raises(MtlBenchError) as caught:
        launch(kind, stand_ins.finish, cells_of(tmp_path, 1), settings_of(tmp_path) | wrong)
    assert told in str(caught.value)
    assert "hydra/launcher=processes" in str(caught.value)
    assert "\n" not in str(caught.value)
