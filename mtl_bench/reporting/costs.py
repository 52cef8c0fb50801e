"""What runs cost, from the times in their records."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mtl_bench.reporting.comparison import Run


def epoch_cost(runs: Sequence[Run], ls_runs: Sequence[Run]) -> float | None:
    """Return the ratio of median epoch seconds; times of different devices aren't comparable."""
    if len({run.summary["device"] for run in (*runs, *ls_runs)}) != 1:
        return None
    own, ls = (
        [run.summary["seconds"].get("train_epoch") for run in group] for group in (runs, ls_runs)
    )
    if not own or not ls or not all(own) or not all(ls):
        return None
    return median(own) / median(ls)


def step_seconds(runs: Sequence[Run]) -> float | None:
    """Return the median over runs of an epoch's median seconds, divided by its steps."""
    seconds = []
    for summary in (run.summary for run in runs):
        epoch, steps = summary["seconds"].get("train_epoch"), summary.get("steps")
        if not epoch or not steps:
            return None
        seconds.append(epoch * summary["epochs"] / steps)
    return median(seconds)
