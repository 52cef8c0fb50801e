"""Batches of a store, prepared here or in worker processes with the same result."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from mtl_bench.errors import MtlBenchError

B = TypeVar("B", covariant=True)

PATIENCE_S = 300
"""How long a batch may take. Where shared memory fails, torch loses batches without a word."""


class Store(Protocol[B]):
    """What can make a batch from the indices of its members."""

    def __getitems__(self, indices: np.ndarray, /) -> B:
        """Return the batch."""


def load_batches(
    store: Store[B], indices: np.ndarray, size: int, workers: int, pin: bool
) -> Iterator[B]:
    """Yield the batches of ``indices``, ``size`` after ``size``; the last may be smaller.

    Args:
        store: where the batches come from.
        indices: members in their order.
        size: members of a batch.
        workers: processes that prepare batches; 0 prepares them here.
        pin: whether batches lie in page-locked memory.

    Raises:
        MtlBenchError: what the store raised, in the same words from any process.
        RuntimeError: a process died, wherever the training is just then, or prepared no batch
            within `PATIENCE_S`.
    """
    loader: DataLoader[Any] = DataLoader(
        _Guarded(store),  # type: ignore[arg-type] # torch asks for __getitems__ when it is there
        batch_sampler=[indices[i : i + size] for i in range(0, len(indices), size)],  # type: ignore
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        timeout=PATIENCE_S if workers else 0,
        worker_init_fn=partial(_outlast_requests_to_stop, os.getpid()),
        generator=torch.Generator(),  # else the loader draws its seed from the global one
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # which the workers inherit
    try:
        batches = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for batch in batches:
        if isinstance(batch, MtlBenchError):
            raise batch
        yield batch


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


def _outlast_requests_to_stop(parent: int, _: int) -> None:
    """Make a worker, born with SIGTERM blocked, ignore signals that ask to stop.

    A cluster sends them to all processes. The training answers with a last step and a checkpoint,
    which it could not if its workers were gone. It ends them itself afterwards, one that hangs with
    a SIGTERM of its own, which still counts.
    """
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent says so or is gone.

    torch's own look for the parent misses one that was killed before the worker was ready.
    """
    while os.getppid() == parent:
        told = signal.sigtimedwait({signal.SIGTERM}, 1.0)
        if told is not None and told.si_pid == parent:
            break
    os._exit(0)
