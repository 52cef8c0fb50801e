"""Batches of a store, prepared here or in worker processes with the same result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mtl_bench.errors import MtlBenchError
from mtl_bench.signals import STOPPING

B = TypeVar("B", covariant=True)

PATIENCE_S = 300
"""How long a batch may take. Where shared memory fails, torch loses batches without a word."""


class Store(Protocol[B]):
    """What can make a batch from the indices of its members."""

    def __getitems__(self, indices: np.ndarray, /) -> B:
        """Return the batch."""


def load_batches(
    store: Store[B],
    indices: np.ndarray,
    size: int,
    workers: int,
    pin: bool,
    start: int = 0,
    numbers: Iterable[int] | None = None,
) -> Iterator[B]:
    """Yield the batches of ``indices``, ``size`` after ``size``; the last may be smaller.

    Args:
        store: where the batches come from.
        indices: members in their order.
        size: members of a batch.
        workers: processes that prepare batches; 0 prepares them here.
        pin: whether batches lie in page-locked memory.
        start: number of the first batch that is wanted, counted from 0.
        numbers: of the batches that are wanted, in place of all from ``start`` on.

    Raises:
        MtlBenchError: what the store raised, in the same words from any process.
        RuntimeError: a process died, wherever the training is just then, or prepared no batch
            within `PATIENCE_S`; of a fork server's child, which is not ours, only the latter shows.
    """
    wanted = range(start, -(-len(indices) // size)) if numbers is None else numbers
    loader: DataLoader[Any] = DataLoader(
        _Guarded(store),  # type: ignore[arg-type] # torch asks for __getitems__ when it is there
        batch_sampler=[indices[n * size : (n + 1) * size] for n in wanted],  # type: ignore[misc]
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        timeout=PATIENCE_S if workers else 0,
        worker_init_fn=_outlast_requests_to_stop,
        generator=torch.Generator(),  # else the loader draws its seed from the global one
    )
    with _requests_held_back() if workers else nullcontext():
        batches = iter(loader)
    try:
        for batch in batches:
            if isinstance(batch, MtlBenchError):
                raise batch
            yield batch
    except (EOFError, ConnectionError, FileNotFoundError, RuntimeError) as error:
        if not _has_ended(batches):  # then it is what the store has raised
            raise
        # half a batch fails in many ways, of which torch explains one
        reason = str(error) or type(error).__name__
        raise RuntimeError(f"DataLoader worker has ended: {reason}") from error
    finally:
        # While a traceback holds the iterator, it would go on to raise that a worker has died,
        # wherever the program is then, each time that another process ends.
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            with suppress(RuntimeError):
                batches._shutdown_workers()


def _has_ended(batches: Iterator[Any]) -> bool:
    """Tell whether a worker has ended; one that was killed may not have been buried yet."""
    if not isinstance(batches, _MultiProcessingDataLoaderIter):
        return False
    try:
        return bool(wait([worker.sentinel for worker in batches._workers], timeout=1.0))
    except RuntimeError:  # torch's handler of a child's end has come between
        return True


@dataclass(frozen=True)
class _Guarded:
    """Hands errors on as values, since torch would rewrite their text with a traceback."""

    store: Store[Any]

    def __getitems__(self, indices: Sequence[int]) -> Any:  # noqa: ANN401
        try:
            return self.store.__getitems__(np.asarray(indices))
        except MtlBenchError as error:
            return error


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - a picklable identity for worker processes
    return batch


@contextmanager
def _requests_held_back() -> Iterator[None]:
    """Keep signals that ask to stop waiting; processes that are started meanwhile inherit it.

    Of these are also the two that serve workers which are not plain forks: the fork server, and
    the tracker of semaphores, whose start lets the signals through again.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        if multiprocessing.get_start_method() != "fork":
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _outlast_requests_to_stop(_: int) -> None:
    """Make a worker, born with them blocked, ignore signals that ask to stop.

    A cluster sends them to all processes. The training answers with a last step and a checkpoint,
    which it could not if its workers were gone. It ends them itself afterwards, one that hangs with
    a SIGTERM of its own, which still counts.
    """
    for number in set(STOPPING) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    # a fork server that was there before the loader passes no blocked signals on
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the training says so or is gone.

    torch's own look for the parent misses one that was killed before the worker was ready. A
    ``fork`` made the worker a child of the training, which is seen at once; the end of its pipe is
    seen under every start method, but later forks of the training keep it open.
    """
    parent, starter = multiprocessing.parent_process(), os.getppid()
    assert parent is not None, "this process is no worker"
    while parent.is_alive() and os.getppid() == starter:
        told = signal.sigtimedwait({signal.SIGTERM}, 1.0)
        if told is not None and told.si_pid == parent.pid:
            break
    os._exit(0)
