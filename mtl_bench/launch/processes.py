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

    A request to stop is passed on to the runs, which save themselves, and none is begun after it.
    A run that is killed fails alone. A second Ctrl-C kills all that are left.

    Raises:
        ConfigError: n_jobs is no number of processes.
    """
    jobs = settings["n_jobs"]
    if not isinstance(jobs, int) or jobs < 1:
        raise ConfigError(f"hydra.launcher.n_jobs={jobs}: must be a whole number, 1 or more")
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
                    children[slot] = _start(task, number, cells[number], slot, jobs)
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


def _start(task: SweepRunner, number: int, overrides: list[str], slot: int, jobs: int) -> _Child:
    context = multiprocessing.get_context("spawn")
    answers, writer = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(task, overrides, slot, jobs, writer))
    process.start()
    writer.close()
    return _Child(number, process, answers)


def _carry_out(
    task: SweepRunner,
    overrides: list[str],
    slot: int,
    jobs: int,
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
