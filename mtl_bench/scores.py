"""Δm and Δt: how far a multi-task model is from the single-task models, in percent.

Both average the signed relative change of every metric against its single-task value S, in which
lower is better: Δm over all metrics alike, Δt over each task's metrics first and the tasks then
(paper, section 5; Δt is the mean of the tasks' Δm). With one metric per task they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

Metrics = Mapping[str, Mapping[str, float | None]]
Directions = Mapping[str, Mapping[str, bool]]


def relative_changes(
    values: Metrics, reference: Metrics, higher_is_better: Directions
) -> dict[str, dict[str, float]] | None:
    """Return 100 (-1)^d (M - S) / S per task and metric, in percent; negative is an improvement.

    Args:
        values: M, task -> metric -> value.
        reference: S in the same units.
        higher_is_better: d, and at the same time the list of the metrics that count.

    Returns:
        None when a metric has no value, no reference, or a reference of zero: a mean over the rest
        would be another quantity under the same name.
    """
    changes: dict[str, dict[str, float]] = {}
    for task, directions in higher_is_better.items():
        changes[task] = {}
        for metric, higher in directions.items():
            value = values.get(task, {}).get(metric)
            single = reference.get(task, {}).get(metric)
            if value is None or not single:
                return None
            sign = -1.0 if higher else 1.0
            changes[task][metric] = 100.0 * sign * (value - single) / single
    return changes


def delta_m(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δm in percent, the mean change over all metrics; None as in ``relative_changes``."""
    changes = relative_changes(values, reference, higher_is_better)
    return fmean(x for task in changes.values() for x in task.values()) if changes else None


def delta_t(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δt in percent, the mean over tasks of the mean change of the task's metrics."""
    changes = relative_changes(values, reference, higher_is_better)
    return fmean(fmean(task.values()) for task in changes.values()) if changes else None
