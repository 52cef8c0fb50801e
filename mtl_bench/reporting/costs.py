"""What runs cost, from the times in their records."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from statistics import median

from mtl_bench.reporting.comparison import Run, Times


def epoch_times(runs: Iterable[Run]) -> Times:
    """Return an epoch's median training time of each run that tells it."""
    return {
        run.record.seed: (run.record.device, seconds)
        for run in runs
        if _told(seconds := run.summary["seconds"].get("train_epoch"))
    }


def step_times(runs: Iterable[Run]) -> Times:
    """Return an epoch's median training time divided by its steps, of each run that tells it."""
    return {
        run.record.seed: (run.record.device, seconds * run.summary["epochs"] / steps)
        for run in runs
        if _told(seconds := run.summary["seconds"].get("train_epoch"))
        and (steps := run.summary.get("steps"))
    }


def _told(seconds: float | None) -> bool:
    return seconds is not None and isfinite(seconds) and seconds > 0


def cost(times: Times, reference: Times) -> float | None:
    """Return the median ratio of runs with the same seed on the same device; None without a pair.

    Runs of one seed were mostly made next to each other. A ratio of medians over all seeds would
    take a machine that was busy with something else for a slow method.
    """
    ratios = [
        seconds / reference[seed][1]
        for seed, (device, seconds) in times.items()
        if seed in reference and reference[seed][0] == device
    ]
    return median(ratios) if ratios else None
