"""The rules that choose which epoch's test metrics are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mtl_bench.algorithms.base import Metrics


def select(
    history: Sequence[Mapping[str, Any]], best_epochs: Mapping[str, int] | None, last_k: int
) -> tuple[dict[str, Metrics], dict[str, Any]]:
    """Return the test metrics under every selection rule, and the epochs that each rule used.

    ``last`` reports the last epoch, ``last_k_mean`` the mean over the last k, and ``best_val`` the
    epoch with the best validation criterion. No rule looks at the test metrics.

    Args:
        history: the lines of metrics.jsonl.
        best_epochs: task -> its selected epoch; one number for all tasks of a shared network. None
            without validation data: there is no ``best_val`` then.
        last_k: k.
    """
    by_epoch = {line["epoch"]: line["test"] for line in history}
    last = max(by_epoch)
    tail = sorted(by_epoch)[-last_k:]
    tests = by_epoch[last]
    rules: dict[str, Metrics] = {
        "last": {task: dict(values) for task, values in tests.items()},
        "last_k_mean": {
            task: {metric: fmean(by_epoch[e][task][metric] for e in tail) for metric in values}
            for task, values in tests.items()
        },
    }
    epochs: dict[str, Any] = {"last": last, "last_k_mean": tail}
    if best_epochs is not None:
        rules["best_val"] = {task: dict(by_epoch[best_epochs[task]][task]) for task in tests}
        epochs["best_val"] = dict(best_epochs)
    return rules, epochs
