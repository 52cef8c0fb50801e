"""Batches of a store, prepared here or in worker processes with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from mtl_bench.errors import MtlBenchError

B = TypeVar("B", covariant=True)


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
        MtlBenchError: what the store raised, in the same words from any process, or a process
            died.
    """
    loader: DataLoader[Any] = DataLoader(
        _Guarded(store),  # type: ignore[arg-type] # torch asks for __getitems__ when it is there
        batch_sampler=[indices[i : i + size] for i in range(0, len(indices), size)],  # type: ignore
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        generator=torch.Generator(),  # else the loader draws its seed from the global one
    )
    try:
        for batch in loader:
            if isinstance(batch, MtlBenchError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MtlBenchError(
            f"a process that prepares batches has died ({str(error).splitlines()[0]}), perhaps for "
            "want of memory: lower trainer.workers; the same command continues"
        ) from error


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
