"""Several processes that train together, started by a test and ended with it."""

import multiprocessing
import os
import socket
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from mtl_bench import ranks
from mtl_bench.runtime.explain import explain
from tests.end_to_end.forks import IMPORTED

PATIENCE = 240.0
"""Seconds after which processes that hang fail a test, on a machine that does much else."""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_together(size: int, folder: Path, function: Any, *arguments: Any) -> list[Any]:
    """Return what ``function(ranks, *arguments)`` answers in each of ``size`` processes.

    What it raises is answered too; a process that dies or hangs answers None.
    """
    folder.mkdir(parents=True)
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload([*IMPORTED])  # torch takes an interpreter seconds
    port = free_port()
    processes = [
        fork.Process(target=_work, args=(rank, size, port, folder, function, arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    files = [folder / f"{rank}.pt" for rank in range(size)]
    return [torch.load(f, weights_only=False) if f.exists() else None for f in files]


def _work(rank: int, size: int, port: int, folder: Path, function: Any, arguments: Any) -> None:
    values = (rank, size, "127.0.0.1", port)
    os.environ |= dict(zip(ranks.VARIABLES, map(str, values), strict=True))
    ranks.PATIENCE = timedelta(seconds=PATIENCE / 4)
    torch.set_num_threads(1)
    with ranks.join(explain) as joined:
        try:
            answer = function(joined, *arguments)
        except Exception as error:
            traceback.print_exc()
            answer = error
        torch.save(answer, folder / f"{rank}.tmp")
        (folder / f"{rank}.tmp").rename(folder / f"{rank}.pt")
