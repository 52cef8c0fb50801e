"""How soon tasks are learned, from the successes of the training's own episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

ENOUGH = 0.8
"""Share of successful episodes from which a task counts as learned."""


def describe_learning(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return numbers by which runs can be ranked that all succeed in the end.

    Args:
        history: the lines of metrics.jsonl. ``training_success`` is each task's share of successes
            among the episodes since the line before, ``environment_steps`` the steps of each task.

    Returns:
        ``training_auc``: the area under the curve of training successes, a step function of the
        steps, divided by all steps: 1 for success from the first episode on.
        ``steps_to_0.8``: steps after which 0.8 of a line's episodes succeeded for the first time,
        None for never. Both of each task, and of the ``mean`` over tasks.
    """
    tasks = history[0]["training_success"]
    curves = {task: [line["training_success"][task] for line in history] for task in tasks}
    curves["mean"] = [fmean(line["training_success"].values()) for line in history]
    steps = [line["environment_steps"] for line in history]
    widths = [after - before for before, after in pairwise([0, *steps])]

    def reached(curve: list[float]) -> int | None:
        return next((n for n, share in zip(steps, curve, strict=True) if share >= ENOUGH), None)

    return {
        "training_auc": {
            name: sum(share * width for share, width in zip(curve, widths, strict=True)) / steps[-1]
            for name, curve in curves.items()
        },
        f"steps_to_{ENOUGH}": {name: reached(curve) for name, curve in curves.items()},
    }
