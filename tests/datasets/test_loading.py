"""Worker processes: what they prepare, and when they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_bench.datasets.loading import (
    _outlast_requests_to_stop,
    _requests_held_back,
    load_batches,
)
from tests.end_to_end.processes import ENVIRONMENT, ROOT
from tests.nightly import gate

START_METHODS = gate(1, ["fork", "spawn", "forkserver"])


class Slow:
    """Batches that tell which process made them."""

    def __getitems__(self, indices):
        time.sleep(0.05)
        return os.getpid(), torch.as_tensor(indices)


class Stuck:
    """A first batch that tells which process made it, and no second one."""

    def __getitems__(self, indices):
        if indices[0]:
            time.sleep(600)
        return os.getpid()


@pytest.fixture(params=START_METHODS)
def start_method(request):
    """Processes are started in this way."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_to_stop_are_left_to_the_training_process(number):
    made = []
    for process, batch in load_batches(Slow(), np.arange(12), 2, 2, False):
        made.append(batch)
        subprocess.run(["kill", f"-{number}", str(process)], check=True)  # not from its parent
    assert torch.equal(torch.cat(made), torch.arange(12))
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _hang(ready):
    _outlast_requests_to_stop(0)
    ready.set()
    time.sleep(60)


def test_a_worker_that_hangs_is_ended_by_its_parent(start_method):
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=_hang, args=(ready,))
    with _requests_held_back():
        process.start()
    assert ready.wait(60)
    process.terminate()
    process.join(20)
    assert process.exitcode == 0


def test_workers_load_however_processes_are_started(start_method):
    batches = list(load_batches(Slow(), np.arange(12), 2, 2, False))
    assert torch.equal(torch.cat([batch for _, batch in batches]), torch.arange(12))
    assert os.getpid() not in {process for process, _ in batches}


TRAINING = """
import multiprocessing, sys
import numpy as np
from mtl_bench.datasets.loading import load_batches
from tests.datasets.test_loading import Stuck
multiprocessing.set_start_method(sys.argv[1])
for process in load_batches(Stuck(), np.arange(8), 1, 2, False):
    print(process, flush=True)
"""


@pytest.mark.parametrize("way", START_METHODS)
def test_workers_end_with_a_training_that_is_killed(way):
    """With a batch in hand that takes them minutes more."""
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, way],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where semaphores left behind are told
    )
    worker = Path("/proc", training.stdout.readline().decode().strip())
    training.stdout.close()
    training.kill()
    training.wait()
    deadline = time.monotonic() + 20
    while worker.exists() and "\nState:\tZ" not in (worker / "status").read_text():
        assert time.monotonic() < deadline, "a worker outlives the training"
        time.sleep(0.1)
