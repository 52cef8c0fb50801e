"""Trainings on images with worker processes, killed and stopped from outside."""

import os
import signal
import time
from pathlib import Path

import pytest

from mtl_bench.records.writer import RunRecord
from tests.end_to_end.processes import (
    call,
    end_of,
    make_desk,
    results_of,
    start,
)
from tests.end_to_end.processes import wait_for_epochs as wait_for
from tests.training.runs import SMALLEST, differences

RUNS = {
    "nyuv2": ("method=taskforce", "method.batch_size=4", "dataset.train_size=5"),
    "cityscapes": ("method=igbv2", "method.update_every=2", "method.random_epochs=1"),
    "multimnist": ("method=pcgrad",),
    "cifar100": ("method=pcgrad", "architecture=routed"),
    "celeba": ("method=uw",),
}
EPOCHS = 5


def words_of(dataset, results):
    return (
        *("train", f"dataset={dataset}", "profile=smoke", f"trainer.epochs={EPOCHS}"),
        *("trainer.workers=2", *SMALLEST[dataset], *RUNS[dataset], f"paths.results={results}"),
    )


@pytest.fixture(scope="module")
def desk(small_data, tmp_path_factory):
    return make_desk(tmp_path_factory, small_data)


@pytest.fixture(scope="module")
def uninterrupted(desk):
    made = {}

    def get(dataset):
        if dataset not in made:
            done = call(*words_of(dataset, "straight"), cwd=desk)
            assert done.returncode == 0, done.stderr
            (path,) = (desk / "straight" / "smoke" / dataset).glob("*/seed0-*")
            made[dataset] = results_of(path)
        return made[dataset]

    return get


def start_group(*words, cwd):
    """Begin a command in a process group of its own."""
    return start(*words, cwd=cwd, changes=[os.setsid])


def workers_of(process):
    """Wait until two workers prepare batches, and return their numbers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = children.read_text().split()
        if len(found) == 2:
            return [Path("/proc", number) for number in found]
    raise AssertionError("no workers")


def alive(path):
    try:
        return "\nState:\tZ" not in (path / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    "dataset",
    [
        pytest.param(name, marks=[] if name == "nyuv2" else [pytest.mark.nightly], id=name)
        for name in RUNS
    ],
)
def test_killed_with_its_workers_at_work_it_goes_on_at_once(dataset, desk, uninterrupted):
    words = words_of(dataset, f"killed_{dataset}")
    process = start_group(*words, cwd=desk)
    record = wait_for(process, desk / f"killed_{dataset}", 2)
    workers = workers_of(process)
    process.kill()
    process.wait()
    killed = time.monotonic()
    with RunRecord(record):  # an orphan that held the lock would have it for seconds
        pass
    while any(map(alive, workers)):
        assert time.monotonic() - killed < 60, "workers outlive the training"
        time.sleep(0.1)
    end_of(process)
    assert not (record / "DONE").exists()
    done = call(*words, cwd=desk)
    assert done.returncode == 0, done.stderr
    # a batch of CIFAR-100 may lack a task, whose loss is NaN then
    assert differences(results_of(record), uninterrupted(dataset)) == []


def test_a_cluster_that_stops_all_processes_gets_a_checkpoint(desk, uninterrupted):
    """SIGTERM to training and workers alike, as at the end of a job's time."""
    words = words_of("nyuv2", "stopped")
    process = start_group(*words, cwd=desk)
    record = wait_for(process, desk / "stopped", 2)
    workers_of(process)
    os.killpg(process.pid, signal.SIGTERM)
    errors = end_of(process)
    assert process.returncode == 75, errors
    (line,) = errors.splitlines()
    assert line.startswith("mtl-bench: SIGTERM: stopped in epoch")
    done = call(*words, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert results_of(record) == uninterrupted("nyuv2")
