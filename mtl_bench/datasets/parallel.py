"""Work on many items in processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int | None, chunksize: int = 4
) -> Iterator[Result]:
    """Yield the results of ``work`` in the order of the items.

    Args:
        work: a picklable function.
        items: what it is called with, one after another.
        jobs: processes; 1 works in this one, None uses the usable cores.
        chunksize: items that a process takes at a time.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1:
        yield from map(work, items)
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(work, items, chunksize=chunksize)
