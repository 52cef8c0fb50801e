"""Run records with everything that a figure reads, written with numbers of a formula."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.records.steps import StepLog
from tests.records.synthetic import QM9, SCENE_TASKS, finish, qm9_tasks, write_record

METHODS = (
    "stl", "ls", "alignedmtl", "cagrad", "dwa", "graddrop", "igbv2", "imtl", "mgda", "nashmtl",
    "pcgrad", "rlw", "torchjd", "uw", "taskforce",
)  # fmt: skip
WITH_GRAM = ("alignedmtl", "cagrad", "imtl", "mgda", "nashmtl", "pcgrad", "taskforce")
CONSTANT = ("stl", "ls", "graddrop")
PROCEDURAL = {"kind": "procedural", "source": "generator 1", "manifest": "0123"}

Values = dict[str, dict[str, Any]]


def scene_values(factor: float) -> Values:
    """Metrics whose Δm against a factor of 1 is 100 (factor - 1) percent."""
    return {"semantic": {"miou": 40.0 * (2 - factor)}, "depth": {"abs": 0.5 * factor}}


def write_run(
    results: Path,
    label: str,
    seed: int,
    *,
    factor: float | None = None,
    qm9: bool = False,
    steps: int = 24,
    **changes: Any,
) -> Path:
    """Write a record of the two scene tasks, or of QM9's eleven, with epochs and step log."""
    method = label.partition("-")[0]
    generator = np.random.default_rng([*label.encode(), seed])
    if factor is None:
        usual = np.random.default_rng([*label.encode()]).uniform(0.8, 1.8)
        factor = (1.0 if method == "stl" else usual) + 0.03 * generator.normal()
    values = scene_values(factor)
    if qm9:
        values = {t: {"mae": (factor + 0.1 * generator.normal()) * QM9[t][3]} for t in QM9}
    epoch = 3.0 * len(values) if method == "stl" else 3.0 + len(label) / 2
    own = {
        "values": values,
        "tasks": qm9_tasks() if qm9 else SCENE_TASKS,
        "steps": steps,
        "seconds": {"train_epoch": epoch},
    }
    path = write_record(results, label, seed, **own | changes)
    write_epochs(path, values, generator)
    write_steps(path, tuple(values), method, generator, steps)
    finish(path)
    return path


def write_epochs(path: Path, values: Values, generator: np.random.Generator) -> None:
    """Write 30 lines of metrics that fall towards ``values``."""
    lines = []
    for epoch in range(1, 31):
        left = 1.0 + 2.0 * np.exp(-epoch / 6) + 0.02 * generator.normal()
        test = {t: {m: (v or 0.0) * left for m, v in own.items()} for t, own in values.items()}
        loss = {t: left * generator.uniform(0.9, 1.1) for t in values}
        line = {"epoch": epoch, "train_loss": loss, "test": test}
        line["delta_m_validation"] = 100 * (left - 1)
        lines.append(json.dumps(line) + "\n")
    (path / "metrics.jsonl").write_text("".join(lines))


def write_steps(
    path: Path, tasks: Sequence[str], method: str, generator: np.random.Generator, steps: int
) -> None:
    """Write a step log in two parts; weights drift away from equal ones unless constant."""
    count = len(tasks)
    log = StepLog(path / "steps", tuple(tasks))
    towards = generator.normal(size=count)
    for step in range(1, steps + 1):
        chosen = towards * np.tanh(2 * step / steps) + 0.3 * generator.normal(size=count)
        weights_T = count * np.exp(chosen) / np.exp(chosen).sum()
        if method in CONSTANT:
            weights_T = np.ones(count)
        rows_TD = generator.normal(size=(count, 8)) + np.linspace(0, 2, count)[:, None]
        gram_TT = rows_TD @ rows_TD.T if method in WITH_GRAM else None
        log.add(step, 1, range(count), np.ones(count), weights_T, gram_TT, {})
        if step == steps // 2:
            log.flush()
    log.flush()
