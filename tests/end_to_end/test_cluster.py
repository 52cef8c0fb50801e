"""Trainings as jobs of a cluster, which stops them at their time limit; all on this machine."""

import json
import os
import re
import signal

import pytest

from tests.end_to_end.processes import (
    ENVIRONMENT,
    call,
    make_desk,
    results_of,
    start,
    wait_for_epochs,
)
from tests.launch.slurm import make_slurm

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

WORDS = (
    *("train", "-m", "dataset=qm9", "profile=smoke", "method=ls", "logger.progress=off"),
    *("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20"),
    *("dataset.batch_size=20", "trainer.epochs=25", "seed=0"),
)
LAUNCHERS = {
    "local": ("hydra/launcher=submitit_local",),
    "slurm": ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10"),
}


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    return make_desk(tmp_path_factory, tiny_data)


@pytest.fixture(scope="module")
def uninterrupted(desk):
    """The record of a run without a cluster."""
    done = call(*WORDS, "paths.results=straight", cwd=desk)
    assert done.returncode == 0, done.stderr
    (path,) = (desk / "straight" / "smoke" / "qm9" / "ls").glob("seed0-*")
    return path


@pytest.mark.nightly
@pytest.mark.parametrize("launcher", ["slurm", "local"])
def test_a_job_at_its_time_limit_is_queued_again_and_ends_with_the_same_bits(
    launcher, desk, uninterrupted, tmp_path
):
    words = (*WORDS, *LAUNCHERS[launcher], f"paths.results={launcher}")
    process = start(*words, cwd=desk, environment=ENVIRONMENT | make_slurm(tmp_path))
    record = wait_for_epochs(process, desk / launcher, 2)
    # as Slurm does two minutes before the limit
    os.kill(json.loads((record / ".lock").read_text())["pid"], signal.SIGUSR2)
    told, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    assert told == "1 of 1 runs are finished\n"
    assert results_of(record) == results_of(uninterrupted)
    assert not (record / "FAILED.json").exists()
    environment = json.loads((record / "environment.json").read_text())
    assert environment["command"] == ["mtl-bench", *words]
    if launcher == "slurm":
        (log,) = tmp_path.glob("log-*")
        assert "#SBATCH --signal=USR2@120\n" in (tmp_path / "script.sh").read_text()
    else:
        (log,) = (desk / launcher).rglob("*_log.out")
    # ten minutes count as reached as soon as they begin, the local hour doesn't
    left = {"slurm": 99, "local": 100}[launcher]
    assert re.findall(r"\((\d+) remaining timeouts\)", log.read_text()) == [str(left)]


def test_without_a_cluster_it_is_one_line_that_names_another_way(desk):
    done = call(*WORDS, *LAUNCHERS["slurm"], "paths.results=none", cwd=desk)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert 'hydra/launcher=submitit_slurm: Could not detect "srun"' in line
    assert not (desk / "none").exists()
