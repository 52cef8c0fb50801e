"""The contents of summary.json, from a training that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from mtl_bench.algorithms.base import Metrics
from mtl_bench.records.writer import FORMAT
from mtl_bench.training.progress import PHASES, TRAINING, loss_key
from mtl_bench.training.trainer import Trainer


def summarize(config: dict[str, Any], digest: str, trainer: Trainer) -> dict[str, Any]:
    """Return the contents of summary.json.

    Args:
        config: of the run.
        digest: its hash.
        trainer: whose training has ended.
    """
    algorithm, progress = trainer.algorithm, trainer.progress
    metrics, epochs = select(
        progress.history, algorithm.selected_epochs(), config["protocol"]["last_k"]
    )
    planned = trainer.settings.epochs  # early stopping may leave some out
    seconds = [line["seconds"] for line in progress.history]
    return {
        "format": FORMAT,
        "status": "finished",
        **{
            group: config[group]["name"]
            for group in ("dataset", "architecture", "method", "protocol", "profile")
        },
        "variant": config["variant"],
        "seed": config["seed"],
        "hash": digest,
        "selection": config["protocol"]["selection"],
        "score": algorithm.score.describe(),
        "metrics": metrics,
        "selected_epochs": epochs,
        "tasks": {task.name: task.describe() for task in algorithm.tasks},
        "untrained": [
            task.name
            for task in algorithm.tasks
            if all(
                line["train_loss"].get(loss_key(component.name, task.name)) is None
                for line in progress.history
                for component in algorithm.components
            )
        ],
        **algorithm.describe(progress.history),
        "parameters": algorithm.parameter_counts(),
        "seconds": progress.total_seconds | median_epoch(seconds),
        "peak_memory_bytes": progress.peak_memory_bytes,
        "epochs": len(progress.history),
        **({"planned_epochs": planned} if len(progress.history) < planned else {}),
        "skipped": sum(line["skipped"] for line in progress.history),
        "solver_fallbacks": sum(line["solver_fallbacks"] for line in progress.history),
        "step_log_lost": trainer.lost_parts,
        "steps": progress.step,
        "data": algorithm.origin,
        "device": str(trainer.device),
    }


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


def median_epoch(epochs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return what training for an epoch takes: seconds, CPU seconds, and seconds without a core.

    Args:
        epochs: ``seconds`` of each line of metrics.jsonl; those of earlier versions have no CPU
            time. The time without a core is told of a whole epoch; training has its share of it.
    """
    trained = [sum(own[phase] or 0.0 for phase in TRAINING) for own in epochs]
    waited = [
        waiting * seconds / sum(own[phase] or 0.0 for phase in PHASES)
        for own, seconds in zip(epochs, trained, strict=True)
        if (waiting := own.get("waiting")) is not None
    ]
    return {
        "train_epoch": median(trained),
        "train_epoch_cpu": _median([own["cpu"] or 0.0 for own in epochs if "cpu" in own]),
        "train_epoch_waiting": _median(waited),
    }


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
