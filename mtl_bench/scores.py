"""Δm and Δt: how far a multi-task model is from the single-task models, in percent.

Both average the signed relative change of every metric against its single-task value S, in which
lower is better: Δm over all metrics alike, Δt over each task's metrics first and the tasks then
(paper, section 5; Δt is the mean of the tasks' Δm). With one metric per task they are the same.

The change is relative to |S|, so that it keeps its sign for metrics below zero, such as a
log-likelihood or an energy. Nothing can be relative to a value that is zero, missing or not finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any, TypeGuard

Metrics = Mapping[str, Mapping[str, float | None]]
Directions = Mapping[str, Mapping[str, bool]]


def relative_changes(
    values: Metrics, reference: Metrics, higher_is_better: Directions
) -> dict[str, dict[str, float]] | None:
    """Return 100 (-1)^d (M - S) / |S| per task and metric, in percent; negative is an improvement.

    Args:
        values: M, task -> metric -> value.
        reference: S in the same units.
        higher_is_better: d, and at the same time the list of the metrics that count.

    Returns:
        None when a metric has no value or no usable reference: a mean over the rest would be
        another quantity under the same name. ``comparable`` leaves such metrics out by intent.
    """
    changes: dict[str, dict[str, float]] = {}
    for task, directions in higher_is_better.items():
        changes[task] = {}
        for metric, higher in directions.items():
            value = values.get(task, {}).get(metric)
            single = reference.get(task, {}).get(metric)
            if value is None or not _is_usable(single):
                return None
            sign = -1.0 if higher else 1.0
            changes[task][metric] = 100.0 * sign * (value - single) / abs(single)
    return changes


def delta_m(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δm in percent, the mean change over all metrics.

    None as in ``relative_changes``, and when no metric counts.
    """
    changes = relative_changes(values, reference, higher_is_better) or {}
    every = [change for task in changes.values() for change in task.values()]
    return fmean(every) if every else None


def delta_t(values: Metrics, reference: Metrics, higher_is_better: Directions) -> float | None:
    """Return Δt in percent, the mean over tasks of the mean change of the task's metrics.

    None as for ``delta_m``; a task without a metric that counts takes no part.
    """
    changes = relative_changes(values, reference, higher_is_better) or {}
    tasks = [fmean(task.values()) for task in changes.values() if task]
    return fmean(tasks) if tasks else None


def comparable(reference: Metrics, higher_is_better: Directions) -> Directions:
    """Return the directions of the metrics that have a usable reference, without empty tasks."""
    usable = {
        task: {m: d for m, d in metrics.items() if _is_usable(reference.get(task, {}).get(m))}
        for task, metrics in higher_is_better.items()
    }
    return {task: metrics for task, metrics in usable.items() if metrics}


def incomparable(reference: Metrics, higher_is_better: Directions) -> dict[str, float | None]:
    """Return the other metrics as "task metric" with what there is in place of a reference."""
    found = {
        f"{task} {metric}": reference.get(task, {}).get(metric)
        for task, metrics in higher_is_better.items()
        for metric in metrics
    }
    return {name: single for name, single in found.items() if not _is_usable(single)}


def describe_incomparable(found: Mapping[str, float | None]) -> str:
    """Return for instance ``semantic ll (none), depth r2 (0)``."""
    return ", ".join(
        f"{name} ({'none' if single is None else f'{single:g}'})" for name, single in found.items()
    )


def published(tasks: Mapping[str, Any]) -> tuple[Metrics, Directions]:
    """Return the published single-task values and the directions of a summary's ``tasks``."""
    metrics = {task: description["metrics"] for task, description in tasks.items()}
    return (
        {t: {m: fields.get("reference") for m, fields in ms.items()} for t, ms in metrics.items()},
        {
            t: {m: fields["higher_is_better"] for m, fields in ms.items()}
            for t, ms in metrics.items()
        },
    )


def _is_usable(reference: float | None) -> TypeGuard[float]:
    return reference is not None and math.isfinite(reference) and reference != 0
