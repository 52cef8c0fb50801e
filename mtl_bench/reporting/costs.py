"""What runs cost, from the times in their records."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, nan
from statistics import median

from mtl_bench.reporting.comparison import RelativeCost, ScoredRun, Times, Timing

ALIKE = 1.1
"""Two runs were timed under the same load if waiting for a core drew one out by at most so much
more than the other."""

NO_PAIR = "needs a run of {} with the same seed on the same device"
UNKNOWN = "the records tell no CPU time, so that nobody knows under what load they were timed"
OTHER_LOAD = "timed under another load than {}"


def epoch_times(runs: Iterable[ScoredRun]) -> Times:
    """Return an epoch's median training time of each run that tells it."""
    found = {}
    for run in runs:
        told = run.summary["seconds"]
        seconds, cpu, waiting = (told.get(f"train_epoch{end}") for end in ("", "_cpu", "_waiting"))
        if _is_time(seconds):
            unknown = [nan if x is None else x for x in (cpu, waiting)]
            found[run.record.seed] = Timing(run.record.machine, seconds, *unknown)
    return found


def step_times(runs: Iterable[ScoredRun]) -> Times:
    """Return an epoch's median training time divided by its steps, of each run that tells it."""
    steps = {
        run.record.seed: run.summary["steps"] / run.summary["epochs"]
        for run in runs
        if run.summary.get("steps")
    }
    return {
        seed: Timing(time.machine, *(seconds / steps[seed] for seconds in time[1:]))
        for seed, time in epoch_times(runs).items()
        if seed in steps
    }


def _is_time(seconds: float | None) -> bool:
    return seconds is not None and isfinite(seconds) and seconds > 0


def cost(times: Times, reference: Times, name: str) -> RelativeCost:
    """Return the median ratio over the seeds whose runs can be compared.

    Those are of the same seed on the same machine under the same load. Runs of one seed were mostly
    made next to each other, and yet a machine that was busy with something else during one of them
    would pass for a slow method.

    Args:
        times: of a row.
        reference: of the row that it is held against.
        name: of that row.
    """
    pairs = [
        (own, reference[seed])
        for seed, own in times.items()
        if seed in reference and reference[seed].machine == own.machine
    ]
    known = [(a, b) for a, b in pairs if a.is_known and b.is_known]
    alike = [(a, b) for a, b in known if 1 / ALIKE <= a.slowdown / b.slowdown <= ALIKE]
    if not alike:
        why = OTHER_LOAD if known else UNKNOWN if pairs else NO_PAIR
        return RelativeCost(None, None, 0, why.format(name))
    return RelativeCost(
        median(a.seconds / b.seconds for a, b in alike),
        median(a.cpu / b.cpu for a, b in alike),
        len(alike),
        "",
    )
