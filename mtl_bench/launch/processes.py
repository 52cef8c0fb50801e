"""Runs of a sweep side by side on this machine, each in a process of its own.

A pool of workers would end with the first of them that is killed, and take the other runs along.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from mtl_bench.errors import ConfigError
from mtl_bench.launch.cell import SweepRun, SweepRunner, cancelled
from mtl_bench.signals import STOPPING, StopRequest

POLL = 0.2
"""Seconds between two looks at whether somebody asked to stop, or a process is gone."""


@dataclass
class _Child:
    """A process, the cell that it carries out, and where its answer comes from."""

    cell: int
    process: SpawnProcess
    answers: Connection


def launch(
    task: SweepRunner, cells: Sequence[list[str]], settings: dict[str, Any]
) -> list[SweepRun]:
    """Carry out all cells, ``settings["n_jobs"]`` at a time.

    Where there are GPUs, a process sees one of them, the next one in turn, and no more than
    ``settings["per_gpu"]`` have the same one at a time. A sweep that names ``trainer.device`` has
    chosen for itself, and its processes see what this one sees.

    A request to stop is passed on to the runs, which save themselves, and none is begun after it.
    A run that is killed fails alone. A second Ctrl-C kills all that are left.

    Raises:
        ConfigError: n_jobs or per_gpu is no number of processes.
    """
    for name in ("n_jobs", "per_gpu"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise ConfigError(
                f"hydra.launcher.{name}={settings[name]}: must be a whole number, 1 or more"
            )
    gpus = [] if any(_names_device(cell) for cell in cells) else visible_gpus()
    jobs = _count_jobs(settings["n_jobs"], settings["per_gpu"], len(gpus))
    left = deque(range(len(cells)))
    outcomes: dict[int, SweepRun] = {}
    children: dict[int, _Child] = {}
    told = False
    with StopRequest() as stop, _killing(children):
        while children or (left and stop.name is None):
            while left and stop.name is None and len(children) < jobs:
                slot = min(set(range(jobs)) - children.keys())
                number = left.popleft()
                with _held_back():
                    gpu = gpus[slot % len(gpus)] if gpus else None
                    children[slot] = _start(task, number, cells[number], slot, jobs, gpu)
            if stop.name is not None and not told:
                told = True
                for child in children.values():
                    child.process.terminate()
            wait([child.answers for child in children.values()], POLL)
            for slot, child in list(children.items()):
                if child.answers.poll() or not child.process.is_alive():
                    outcomes[child.cell] = _collect(child, cells[child.cell])
                    del children[slot]
    return [outcomes.get(number) or cancelled(cell) for number, cell in enumerate(cells)]


def visible_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each of the GPUs that this process may use.

    Without the variable it is all of the machine's. As CUDA does, it ends at what names none.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        import torch

        return [str(number) for number in range(torch.cuda.device_count())]
    names = [name.strip() for name in told.split(",")]
    return [*takewhile(lambda name: name.isdigit() or name.startswith(("GPU-", "MIG-")), names)]


def _names_device(overrides: list[str]) -> bool:
    """Tell whether a cell says where it runs."""
    return any(word.partition("=")[0] == "trainer.device" for word in overrides)


def _count_jobs(wanted: int, per_gpu: int, gpus: int) -> int:
    """Return how many processes there are at a time, and say so where these are fewer."""
    jobs = min(wanted, per_gpu * gpus) if gpus else wanted
    if jobs < wanted:
        print(
            f"{jobs} at a time: GPUs {gpus}, hydra.launcher.per_gpu={per_gpu}; a higher per_gpu "
            "lets runs of small networks share one",
            flush=True,
        )
    return jobs


@contextmanager
def _killing(children: dict[int, _Child]) -> Iterator[None]:
    """Leave no process behind where the loop is left by an error or a second Ctrl-C."""
    try:
        yield
    finally:
        for child in children.values():
            child.process.kill()
            child.process.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Block requests to stop, here until a child is noted, and there until it has its handlers."""
    resource_tracker.ensure_running()  # with the first child, it would unblock them again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start(
    task: SweepRunner, number: int, overrides: list[str], slot: int, jobs: int, gpu: str | None
) -> _Child:
    context = multiprocessing.get_context("spawn")
    answers, writer = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(task, overrides, slot, jobs, gpu, writer))
    process.start()
    writer.close()
    return _Child(number, process, answers)


def _carry_out(
    task: SweepRunner,
    overrides: list[str],
    slot: int,
    jobs: int,
    gpu: str | None,
    writer: Connection[SweepRun, SweepRun],
) -> None:
    """Do the work of a child.

    SIGINT stays blocked: a Ctrl-C reaches all processes of a terminal, and the parent tells the
    children what it means.
    """
    with StopRequest() as stop:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(STOPPING) - {signal.SIGINT})
        # torch would take all processors in each of the processes
        share = max(1, len(os.sched_getaffinity(0)) // jobs)
        os.environ.setdefault("OMP_NUM_THREADS", str(share))
        if gpu is not None:  # CUDA reads it when it is first used
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        cell = task(overrides, slot) if stop.name is None else cancelled(overrides)
    with suppress(BrokenPipeError):  # nobody is left to hear it; the record says it all
        writer.send(cell)


def _collect(child: _Child, overrides: list[str]) -> SweepRun:
    """Return what a child answered, or what its end says."""
    cell = _answer(child.answers)
    child.answers.close()
    child.process.join()
    if cell is not None:
        return cell
    code = child.process.exitcode or 0
    how = f"ended with status {code}, and what it wrote says why"
    if code < 0:
        killer = signal.Signals(-code).name
        how = f"was killed by {killer}, perhaps for want of memory: lower hydra.launcher.n_jobs"
    return SweepRun(overrides, None, "failed", f"its process {how}")


def _answer(answers: Connection[SweepRun, SweepRun]) -> SweepRun | None:
    """Return the answer, None if there is none: processes that a dead child left keep it open."""
    with suppress(EOFError, OSError):
        if answers.poll():
            return answers.recv()
    return None
