"""Run records as plain files, written without the package's own writer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TIME = "2026-01-01T00:00:00+00:00"

QM9 = {
    "mu": ("μ", "D", 3, 0.0671),
    "alpha": ("α", "a0³", 3, 0.1814),
    "homo": ("ε_HOMO", "meV", 1, 60.576),
    "lumo": ("ε_LUMO", "meV", 1, 53.915),
    "r2": ("⟨R²⟩", "a0²", 3, 0.5027),
    "zpve": ("ZPVE", "meV", 2, 4.539),
    "u0": ("U0", "meV", 1, 58.838),
    "u": ("U", "meV", 1, 64.244),
    "h": ("H", "meV", 1, 63.852),
    "g": ("G", "meV", 1, 66.223),
    "cv": ("Cv", "cal/(mol K)", 3, 0.07212),
}


def qm9_tasks(*names: str) -> dict[str, Any]:
    """Task descriptions of these QM9 targets, all of them by default."""
    return {
        name: {
            "label": label,
            "metrics": {
                "mae": {
                    "unit": unit,
                    "higher_is_better": False,
                    "decimals": decimals,
                    "reference": reference,
                }
            },
        }
        for name, (label, unit, decimals, reference) in QM9.items()
        if not names or name in names
    }


SCENE_TASKS = {
    "semantic": {
        "label": "Seg",
        "metrics": {
            "miou": {"unit": "%", "higher_is_better": True, "decimals": 2, "reference": None},
        },
    },
    "depth": {
        "label": "Depth",
        "metrics": {
            "abs": {"unit": "", "higher_is_better": False, "decimals": 3, "reference": None},
        },
    },
}


def write_record(
    results: Path,
    label: str,
    seed: int,
    *,
    values: dict[str, dict[str, float | None]] | None = None,
    tasks: dict[str, Any] | None = None,
    profile: str = "mini",
    dataset: str = "qm9",
    hash8: str | None = None,
    done: bool = True,
    epochs_done: int = 30,
    epochs_total: int = 30,
    error: str | None = None,
    settings: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    title: str | None = None,
    **changes: Any,
) -> Path:
    """Write one record; ``settings`` go into its configuration, ``changes`` into its summary.

    ``title`` is the configuration's label. Without ``environment`` environment.json says no more
    than that nothing is overridden.
    """
    method, _, variant = label.partition("-")
    hash8 = hash8 or f"{abs(seed):04x}abcd"
    path = results / profile / dataset / label / f"seed{seed}-{hash8}"
    path.mkdir(parents=True)
    config: dict[str, Any] = {
        "seed": seed,
        "variant": variant or None,
        "label": title,
        "profile": {"name": profile},
        "dataset": {"name": dataset},
        "method": {"name": method},
        "trainer": {"epochs": epochs_total},
    }
    for section, fields in (settings or {}).items():
        config[section] = config.get(section, {}) | fields
    (path / "config.yaml").write_text(json.dumps(config))
    (path / "environment.json").write_text(json.dumps(environment or {"overrides": {}}))
    lines = [{"epoch": epoch, "train_loss": {"mu": 0.5}} for epoch in range(1, epochs_done + 1)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if error is not None:
        (path / "FAILED.json").write_text(json.dumps({"error": error}))
    if done:
        summary = {
            "format": 1,
            "status": "finished",
            "dataset": dataset,
            "architecture": "mpnn",
            "method": method,
            "variant": variant or None,
            "protocol": "nash",
            "profile": profile,
            "seed": seed,
            "hash": hash8,
            "selection": "best_val",
            "metrics": {"best_val": values},
            "tasks": tasks,
            "parameters": {"total": 617675, "shared": 616960},
            "seconds": {"train": 100.0, "train_epoch": 3.0},
            "peak_memory_bytes": None,
            "epochs": epochs_total,
            "data": {"kind": "real", "source": "qm9pack 1.0.3", "manifest": "0123"},
            "device": "cpu",
        } | changes
        seconds = summary["seconds"]
        timed = {"train_epoch_cpu": seconds.get("train_epoch"), "train_epoch_waiting": 0.0}
        summary["seconds"] = timed | seconds
        (path / "summary.json").write_text(json.dumps(summary))
        finish(path)
    return path


def finish(path: Path) -> None:
    """Write DONE as it is once no other file of a record will change."""
    files = ("summary.json", "metrics.jsonl", "config.yaml", "environment.json")
    hashes = {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        if (path / name).exists()
        else None
        for name in files
    }
    (path / "DONE").write_text(json.dumps({"finished": TIME, "sha256": hashes}))


def unseal(path: Path) -> None:
    """Make DONE what it was before it held hashes."""
    (path / "DONE").write_text(f"{TIME}\n")


def scaled(factor: float, *names: str) -> dict[str, dict[str, float]]:
    """QM9 metrics that are ``factor`` times the published single-task errors."""
    return {
        name: {"mae": factor * fields[3]}
        for name, fields in QM9.items()
        if not names or name in names
    }
