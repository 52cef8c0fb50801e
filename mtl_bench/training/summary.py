"""The contents of summary.json, from a training that has ended."""

from __future__ import annotations

from statistics import median
from typing import Any

from mtl_bench.records.writer import FORMAT
from mtl_bench.training.progress import loss_key
from mtl_bench.training.selection import select
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
    spent = [
        sum(line["seconds"][phase] for phase in ("data", "forward", "method", "optimizer"))
        for line in progress.history
    ]
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
        "parameters": algorithm.parameter_counts(),
        "seconds": {**progress.total_seconds, "train_epoch": median(spent)},
        "peak_memory_bytes": progress.peak_memory_bytes,
        "epochs": len(progress.history),
        "skipped": sum(line["skipped"] for line in progress.history),
        "solver_fallbacks": sum(line["solver_fallbacks"] for line in progress.history),
        "step_log_lost": trainer.lost_parts,
        "steps": progress.step,
        "data": algorithm.origin,
        "device": str(trainer.device),
    }
