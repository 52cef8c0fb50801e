"""A folder of very many run records, to measure what reads them.

``python -m tests.records.campaign FOLDER [RECORDS]`` writes 2,000 by default: two data sets, twenty
methods, as many seeds as it takes. The files are as long as those of a run of profile ``mini``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.records.steps import StepLog
from tests.records.synthetic import QM9, SCENE_TASKS, finish, qm9_tasks, write_record

METHODS = (
    *("stl", "ls", "rlw", "dwa", "uw", "mgda", "graddrop", "pcgrad", "cagrad", "igbv2", "imtl"),
    *("nashmtl", "alignedmtl", "taskforce", "taskforce-alt", "taskforce-de", "taskforce-imtl"),
    *("taskforce-ct", "taskforce-ma", "equal"),
)
WITHOUT_GRAM = ("stl", "ls", "rlw", "dwa", "uw", "igbv2")
RULES = ("last", "last_k_mean", "best_val")
EPOCHS, PARTS, ROWS = 30, 10, 100

SETTINGS = {
    "optimizer": {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "scheduler": {"factor": 0.7, "patience": 5, "min_lr": 1e-5},
    "gradients": {"level": "parameters", "backend": "auto"},
    **{name: {f"field_{i}": i / 7 for i in range(10)} for name in ("architecture", "protocol")},
}
ENVIRONMENT = {
    "command": ["mtl-bench", "train", "profile=mini"],
    "git": {"commit": "0" * 40, "modified": False},
    "packages": dict.fromkeys(("mtl_bench", "torch", "numpy", "hydra-core"), "1.2.3"),
    "platform": "Linux",
    "device": "x86_64 CPU, 1 threads",
    "initial_parameters": "0" * 64,
}


def write_campaign(results: Path, records: int = 2000) -> None:
    """Write so many records below ``results``, half of them of each data set."""
    places = [
        ("qm9", {name: {"mae": fields[3]} for name, fields in QM9.items()}, qm9_tasks()),
        ("nyuv2", {"semantic": {"miou": 40.0}, "depth": {"abs": 0.5}}, SCENE_TASKS),
    ]
    for dataset, values, tasks in places:
        logs = dict[bool, Path]()
        for number in range(records // len(places)):
            label = METHODS[number % len(METHODS)]
            seed = number // len(METHODS)
            path = _write_run(results, dataset, label, seed, values, tasks)
            gram = label not in WITHOUT_GRAM
            if gram not in logs:
                logs[gram] = path / "steps"
                _write_steps(path / "steps", tuple(tasks), gram=gram)
            else:  # the same numbers in all runs take no room
                (path / "steps").mkdir()
                for part in logs[gram].iterdir():
                    os.link(part, path / "steps" / part.name)


def _write_run(
    results: Path, dataset: str, label: str, seed: int, values: Any, tasks: dict[str, Any]
) -> Path:
    generator = np.random.default_rng([*label.encode(), seed])
    path = write_record(
        results,
        label,
        seed,
        dataset=dataset,
        metrics={rule: _worse(values, generator) for rule in RULES},
        tasks=tasks,
        settings=SETTINGS,
        steps=PARTS * ROWS,
    )
    lines = []
    for epoch in range(1, EPOCHS + 1):
        shown = _worse(values, generator)
        lines.append(
            {
                "epoch": epoch,
                "train_loss": {task: generator.uniform() for task in tasks},
                "validation": shown,
                "test": shown,
                "weights": {task: generator.uniform() for task in tasks},
                "seconds": {"data": 1.5, "forward": 2.5, "method": 3.5, "optimizer": 4.5},
            }
        )
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = ENVIRONMENT | {"started": f"2026-01-01T00:00:{seed % 60:02}+00:00"}
    (path / "environment.json").write_text(json.dumps(environment, indent=2))
    finish(path)
    return path


def _worse(values: Any, generator: np.random.Generator) -> Any:
    return {
        task: {metric: value * generator.uniform(1, 2) for metric, value in metrics.items()}
        for task, metrics in values.items()
    }


def _write_steps(folder: Path, tasks: tuple[str, ...], *, gram: bool) -> None:
    folder.mkdir()
    log, generator = StepLog(folder, tasks), np.random.default_rng(0)
    count = len(tasks)
    for step in range(1, PARTS * ROWS + 1):
        grads_TP = generator.normal(size=(count, 20))
        weights_T = generator.uniform(size=count) if gram else np.ones(count)
        gram_TT = grads_TP @ grads_TP.T if gram else None
        log.add(step, 1, range(count), generator.uniform(size=count), weights_T, gram_TT, {})
        if step % ROWS == 0:
            log.flush()


if __name__ == "__main__":
    write_campaign(Path(sys.argv[1]), *map(int, sys.argv[2:]))
