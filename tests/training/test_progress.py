"""What an epoch has had of the processor."""

import os
import subprocess
import sys
import time

import pytest

from mtl_bench.training import progress as module
from mtl_bench.training.progress import PHASES, TRAINING, Progress
from mtl_bench.training.summary import median_epoch

WORK = 0.05
"""CPU seconds."""


def work(seconds=WORK):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("phase", PHASES)
def test_cpu_time_is_that_of_training(phase):
    progress = Progress()
    progress.add_time("test", 0.0)
    work()
    progress.add_time(phase, 1.0)
    assert (progress.cpu_seconds >= WORK) == (phase in TRAINING)


def test_sleep_is_no_cpu_time_and_an_epoch_begins_with_none():
    progress = Progress()
    progress.add_time("data", 0.0)
    time.sleep(0.3)
    progress.add_time("forward", 0.3)
    assert progress.cpu_seconds < 0.2
    work()
    progress.add_time("optimizer", WORK)
    line = progress.describe_epoch({}, 0.1)
    assert line["seconds"]["cpu"] == progress.cpu_seconds >= WORK
    assert line["seconds"]["data"] == 0.0
    progress.finish_epoch(line)
    assert progress.describe_epoch({}, 0.1)["seconds"]["cpu"] == 0.0


def test_work_before_the_first_phase_is_of_no_epoch():
    progress = Progress()
    work()
    progress.add_time("data", 0.0)
    assert progress.cpu_seconds == 0.0


@pytest.mark.skipif(not module.SCHEDULER.exists(), reason="the system doesn't tell")
def test_waiting_is_the_time_in_which_another_process_had_the_core():
    """With one rival on the same core at least a third of the time is lost, however busy it is."""
    cores = os.sched_getaffinity(0)
    rival = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        core = {min(cores)}
        os.sched_setaffinity(0, core)
        os.sched_setaffinity(rival.pid, core)
        rival.stdout.readline()
        begin, progress = time.perf_counter(), Progress()
        work(0.5)
        progress.add_time("test", time.perf_counter() - begin)
    finally:
        os.sched_setaffinity(0, cores)
        rival.kill()
        rival.communicate()
    assert progress.seconds["test"] / 3 < progress.waiting_seconds <= progress.seconds["test"]


def test_where_the_system_does_not_tell_the_waiting_is_unknown(monkeypatch, tmp_path):
    for name, text in (("missing", None), ("empty", "")):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        monkeypatch.setattr(module, "SCHEDULER", path)
        progress = Progress()
        progress.add_time("test", 1.0)
        assert progress.describe_epoch({}, 0.1)["seconds"]["waiting"] is None


def epoch(seconds, **more):
    return dict.fromkeys(PHASES, seconds / 8) | {"test": seconds / 4} | more


def test_an_epoch_of_training_has_its_share_of_the_waiting():
    """Training is half of each epoch; the medians are over the epochs."""
    epochs = [epoch(s, cpu=s / 4, waiting=s / 10) for s in (8.0, 80.0, 16.0)]
    assert median_epoch(epochs) == {
        "train_epoch": pytest.approx(8.0),
        "train_epoch_cpu": pytest.approx(4.0),
        "train_epoch_waiting": pytest.approx(0.8),
    }


def test_epochs_of_earlier_versions_tell_no_cpu_time():
    old, new = epoch(8.0), epoch(8.0, cpu=1.0, waiting=None)
    unknown = {"train_epoch_cpu": None, "train_epoch_waiting": None}
    assert median_epoch([old, old]) == {"train_epoch": 4.0, **unknown}
    assert median_epoch([old, new]) == {"train_epoch": 4.0, **unknown, "train_epoch_cpu": 1.0}
