"""Worker processes: what they prepare, and when they end."""

import multiprocessing
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import torch

from mtl_bench.datasets.loading import _outlast_requests_to_stop, load_batches


class Slow:
    """Batches that tell which process made them."""

    def __getitems__(self, indices):
        time.sleep(0.05)
        return os.getpid(), torch.as_tensor(indices)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_to_stop_are_left_to_the_training_process(number):
    made = []
    for process, batch in load_batches(Slow(), np.arange(12), 2, 2, False):
        made.append(batch)
        subprocess.run(["kill", f"-{number}", str(process)], check=True)  # not from its parent
    assert torch.equal(torch.cat(made), torch.arange(12))
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _hang(ready):
    _outlast_requests_to_stop(os.getppid(), 0)
    ready.set()
    time.sleep(60)


def test_a_worker_that_hangs_is_ended_by_its_parent():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hang, args=(ready,))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    process.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert ready.wait(20)
    process.terminate()
    process.join(20)
    assert process.exitcode == 0
