"""Records of environments, whose score is the mean success, written as plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.records.steps import StepLog
from tests.records.synthetic import finish, write_record

TASKS = ("near", "far")
COMPONENTS = ("actor", "critic")
SCORE = {
    "kind": "mean",
    "metric": "success",
    "label": "success",
    "unit": "",
    "higher_is_better": True,
    "decimals": 2,
}
DATA = {"kind": "simulated", "source": "pendulum 1", "manifest": ""}
EPOCHS, STEPS = 4, 40
GRAM = ("pcgrad",)


def control_tasks() -> dict[str, Any]:
    """Return what a summary says of the tasks."""
    fields = {"unit": "", "higher_is_better": True, "reference": None}
    metrics = {"success": fields | {"decimals": 2}, "return": fields | {"decimals": 1}}
    return {name: {"label": name, "metrics": metrics} for name in TASKS}


def values(near: float, far: float) -> dict[str, dict[str, float]]:
    """Return metrics with these successes; the returns go the other way."""
    return {
        name: {"success": success, "return": -100.0 * success}
        for name, success in (("near", near), ("far", far))
    }


def write_control(
    results: Path,
    label: str,
    seed: int,
    near: float = 1.0,
    far: float = 0.5,
    masked: dict[str, int] | None = None,
    **changes: Any,
) -> Path:
    """Write the record of a run, with epochs and the step log of each component.

    ``masked`` tells for tasks how many updates of each epoch left them out.
    """
    done = changes.get("done", True)
    told = {
        "tasks": control_tasks(),
        "metrics": {"last": values(near, far), "last_k_mean": values(near / 2, far / 2)},
        "selection": "last",
        "score": SCORE,
        "architecture": "mlp",
        "data": DATA,
        "steps": STEPS,
        "parameters": {"total": 30, "shared": 24, "critic": 20, "actor": 10},
        "seconds": {
            **{"train_epoch": 2.0, "data": 4.0, "forward": 8.0, "method": 3.2},
            "optimizer": 0.4,
        },
    }
    path = write_record(
        results,
        label,
        seed,
        dataset="pendulum6",
        epochs_total=EPOCHS,
        environment={"overrides": {}, "score": SCORE, "data": DATA},
        **(told if done else {}) | changes,
    )
    lines = []
    for epoch in range(1, EPOCHS + 1):
        share = epoch / EPOCHS
        line = {
            "epoch": epoch,
            "train_loss": {f"{c}/{t}": 1.0 - share / 2 for c in COMPONENTS for t in TASKS},
            "weights": {f"{c}/{t}": 1.0 for c in COMPONENTS for t in TASKS},
            "test": values(near * share, far * share),
            "success_test": (near + far) * share / 2,
            "environment_steps": 100 * epoch,
            "seconds": {"cpu": 30.0 + seed},
        } | ({"masked_updates": masked} if masked else {})
        lines.append(json.dumps(line) + "\n")
    (path / "metrics.jsonl").write_text("".join(lines))
    (path / "steps").mkdir()
    for number, component in enumerate(COMPONENTS):
        log = StepLog(path / "steps", TASKS, component)
        gram_TT = np.array([[1.0, -0.5], [-0.5, 4.0]]) if label in GRAM else None
        for step in range(1, STEPS + 1):
            weights_T = np.array([1.0, 1.0 + number * (label in GRAM) * step])
            log.add(step, -(-step * EPOCHS // STEPS), (0, 1), np.ones(2), weights_T, gram_TT, {})
        log.flush()
    if done:
        finish(path)
    return path


def explode(path: Path) -> None:
    """Make an unfinished record that of a run that has exploded."""
    failure = {"error": "exploded: the mean critic loss is 2e+08", "kind": "ExplodedError"}
    (path / "FAILED.json").write_text(json.dumps(failure))
