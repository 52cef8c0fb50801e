"""The contents of summary.json, from a training that has ended."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from mtl_bench.records.writer import FORMAT
from mtl_bench.training.evaluation import select

if TYPE_CHECKING:
    from mtl_bench.training.trainer import Trainer


def summarize(trainer: Trainer) -> dict[str, Any]:
    """Return the contents of summary.json."""
    config, progress = trainer.config, trainer.progress
    best = None
    if trainer.data.has_validation:
        best = {t.name: learner.best_epoch for learner in trainer.learners for t in learner.tasks}
    metrics, epochs = select(progress.history, best, config["protocol"]["last_k"])
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
        "hash": trainer.digest,
        "selection": config["protocol"]["selection"],
        "metrics": metrics,
        "selected_epochs": epochs,
        "tasks": {task.name: task.describe() for task in trainer.tasks},
        "parameters": {
            "total": sum(p.numel() for p in trainer.network.parameters()),
            "shared": sum(p.numel() for p in trainer.shared),
        },
        "seconds": {**progress.total_seconds, "train_epoch": median(spent)},
        "peak_memory_bytes": progress.peak_memory_bytes,
        "epochs": len(progress.history),
        "skipped": sum(line["skipped"] for line in progress.history),
        "solver_fallbacks": sum(line["solver_fallbacks"] for line in progress.history),
        "step_log_lost": trainer.steps.lost,
        "steps": progress.step,
        "data": trainer.data.origin,
        "device": str(trainer.device),
    }
