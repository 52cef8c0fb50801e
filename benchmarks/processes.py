"""Updates of one process and of two, on QM9 at the paper's size, with gloo on this machine.

Each process has ``threads`` threads and its own batch of 120 molecules, so that two processes make
updates of 240. What is perfect is the same time for twice the molecules.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.steps import adam
from mtl_bench import build_architecture, build_dataset, build_method, ranks
from mtl_bench.algorithms.base import Component
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.gradients import communicator
from mtl_bench.runtime.memory import forget_peak, resident_peak, reuse_freed_memory
from mtl_bench.runtime.processor import processor_name
from mtl_bench.training.update import Update

METHODS = ("ls", "nashmtl", "taskforce", "graddrop")
"""Of losses, of the Gram matrix with little and with much to do in process 0, of gradients."""

CPU = torch.device("cpu")
WARM_UP = 2


def measure(data: Path, rounds: int, threads: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return the median seconds of an update and of what it waits for the other process.

    Args:
        data: folder of prepared data.
        rounds: updates that are timed.
        threads: of each process.
        only: methods.
    """
    methods = list(only or METHODS)
    found = {size: run_processes(size, data, rounds, threads, methods) for size in (1, 2)}
    return {
        "device": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "rounds": rounds,
        "methods": {
            method: {
                "one": found[1][method]["seconds"],
                "two": found[2][method]["seconds"],
                "waiting": found[2][method]["waiting"],
                "speed-up": 2 * found[1][method]["seconds"] / found[2][method]["seconds"],
            }
            for method in methods
        },
    }


def render(result: dict[str, Any]) -> str:
    """Return a measurement as text."""
    lines = [
        f"QM9, MPNN, batch 120 for each process; {result['device']}, {result['cores']} cores, "
        f"{result['threads']} threads a process, medians of {result['rounds']} updates",
        "method      one process   two   of which in exchanges   molecules a second",
    ]
    lines += [
        f"{method:<10} {each['one']:>11.3f} s {each['two']:>6.3f} s {each['waiting']:>18.3f} s "
        f"{each['speed-up']:>15.2f} times"
        for method, each in result["methods"].items()
    ]
    return "\n".join(lines)


def run_processes(
    size: int, data: Path, rounds: int, threads: int, methods: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return method -> what an update takes in process 0 of ``size``.

    That is its median ``seconds``, those of them in ``waiting`` for others, its ``cpu_seconds``,
    and the ``peak_bytes`` that updates add to the memory of the process.
    """
    build_dataset("qm9", data=str(data))  # what is missing is said here, not by each process
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        spawn = multiprocessing.get_context("spawn")
        arguments = (size, port, Path(folder), data, rounds, threads, methods)
        processes = [spawn.Process(target=_work, args=(rank, *arguments)) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        found: dict[str, dict[str, float]] = torch.load(
            Path(folder) / "found.pt", weights_only=True
        )
        return found


def _work(
    rank: int,
    size: int,
    port: int,
    folder: Path,
    data: Path,
    rounds: int,
    threads: int,
    methods: Sequence[str],
) -> None:
    values = (rank, size, "127.0.0.1", port)
    os.environ |= dict(zip(ranks.VARIABLES, map(str, values), strict=True))
    torch.set_num_threads(threads)
    reuse_freed_memory()
    waits: list[float] = []
    hearing = ranks.hearing

    @contextmanager
    def timed() -> Iterator[None]:
        begin = time.perf_counter()
        with hearing():
            yield
        waits.append(time.perf_counter() - begin)

    ranks.hearing = communicator.hearing = timed
    dataset: Any = build_dataset("qm9", data=str(data))
    found = {}
    with ranks.join() as joined:
        for method in methods:
            network = build_architecture("qm9")
            tasks = dataset.tasks
            chosen = build_method(method, len(tasks))
            source = BatchGradients(network, tasks, chosen, CPU, ranks=joined)
            component = Component("", network, source, chosen, [adam(network)])
            update = Update([task.name for task in tasks], ranks=joined)
            batches = dataset.train_batches(1, numbers=range(rank, size * (rounds + WARM_UP), size))
            seconds, waiting, cpu_seconds = [], [], []
            forget_peak(CPU)
            before = resident_peak()
            for batch in batches:
                waits.clear()
                begin, cpu_begin = time.perf_counter(), time.process_time()
                update(component, [batch])
                seconds.append(time.perf_counter() - begin)
                cpu_seconds.append(time.process_time() - cpu_begin)
                waiting.append(sum(waits))
            found[method] = {
                "seconds": median(seconds[WARM_UP:]),
                "waiting": median(waiting[WARM_UP:]),
                "cpu_seconds": median(cpu_seconds[WARM_UP:]),
                "peak_bytes": resident_peak() - before,
            }
        if joined.leads:
            torch.save(found, folder / "found.pt")
