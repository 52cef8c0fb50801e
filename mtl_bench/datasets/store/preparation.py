"""What `prepare` and `verify` of several data sets share: work in processes, reports of doubts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SHOWN = 5
"""Frames that a warning names; the others are counted."""

NO_LABEL = "no pixel with a valid label"
NO_DEPTH = "no pixel with a valid depth"
NO_NORMAL = "no pixel with a valid normal"
NO_DISPARITY = "no pixel with a valid disparity"
MILLIMETRES = "depths that look like millimetres instead of metres"


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


def report_doubts(
    folder: Path, doubts: Mapping[str, Sequence[str]], report: Callable[[str], None]
) -> None:
    """Report each doubt once, with the frames that it is about.

    Args:
        folder: of the data set.
        doubts: what is odd -> names of the frames.
        report: gets the lines.
    """
    for doubt, frames in doubts.items():
        more = f" and {len(frames) - SHOWN} more" if len(frames) > SHOWN else ""
        count = f"{len(frames)} frame" + "s" * (len(frames) > 1)
        report(f"{folder}: {doubt} in {count}: {', '.join(frames[:SHOWN])}{more}")
