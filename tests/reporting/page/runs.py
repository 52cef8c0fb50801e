"""A profile with all that a page must cope with: two data sets, faults, gaps and hostile text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.records.steps import StepLog
from tests.records.synthetic import finish, write_record

EVIL = """</script><b class="evil">x</b><img src=x onerror="evil=1">'"&amp; ünï Δ \u2028"""
EVIL_VARIANT = "<b class=evil>\"'&ü #%"
TASKS = {
    "semantic": {
        "label": "Seg <b class=evil>",
        "metrics": {
            "miou": {"unit": "%", "higher_is_better": True, "decimals": 2, "reference": None},
            "pixacc": {"unit": "%", "higher_is_better": True, "decimals": 2, "reference": None},
        },
    },
    "depth": {
        "label": "Depth",
        "metrics": {
            "abs": {"unit": "m", "higher_is_better": False, "decimals": 3, "reference": None},
        },
    },
    "normal": {
        "label": "Normals",
        "metrics": {
            "mean": {"unit": "°", "higher_is_better": False, "decimals": 1, "reference": None},
        },
    },
}
NAMES = tuple(TASKS)
EPOCHS, UPDATES = 6, 900
PROCEDURAL = {"kind": "procedural", "source": EVIL, "manifest": "0123"}
REAL = {"kind": "real", "source": "files", "manifest": "0123"}
GRAM = ("mgda", "taskforce")


def values(factor: float) -> dict[str, dict[str, float | None]]:
    """Metrics that are ``factor`` times worse than single-task learning."""
    return {
        "semantic": {"miou": 40 / factor, "pixacc": 60 / factor},
        "depth": {"abs": 0.5 * factor},
        "normal": {"mean": 25 * factor},
    }


def add_run(
    results: Path,
    label: str,
    seed: int,
    factor: float,
    *,
    gram: bool = False,
    metrics: dict[str, Any] | None = None,
    epochs: int = EPOCHS,
    **more: Any,
) -> Path:
    """Write one record with its epochs and its step log."""
    rules = {"best_val": metrics or values(factor), "last": values(factor * 1.1)}
    done = more.get("done", True)
    path = write_record(
        results,
        label,
        seed,
        tasks=TASKS,
        epochs_total=EPOCHS,
        epochs_done=epochs,
        **({"metrics": rules, "steps": UPDATES} if done else {}),
        **({"architecture": "mtan", "data": PROCEDURAL} | more),
    )
    lines = [
        {
            "epoch": epoch,
            "train_loss": dict.fromkeys(NAMES, factor / epoch),
            "test": values(factor * (1 + 1 / epoch)),
        }
        for epoch in range(1, epochs + 1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    add_steps(path, UPDATES * epochs // EPOCHS, gram=gram, seed=seed)
    if done:
        finish(path)
    return path


def add_steps(path: Path, updates: int, *, gram: bool, seed: int = 0) -> None:
    """Write the step log in parts of 300 updates."""
    (path / "steps").mkdir(exist_ok=True)
    log, generator = StepLog(path / "steps", NAMES), np.random.default_rng(seed)
    for step in range(1, updates + 1):
        grads_TP = generator.normal(size=(len(NAMES), 5))
        weights_T = 1 + np.arange(3) * step / updates if gram else np.ones(3)
        gram_TT = grads_TP @ grads_TP.T if gram else None
        log.add(step, 1, range(3), np.full(3, 1 / step), weights_T, gram_TT, {"seconds_method": 1})
        if step % 300 == 0:
            log.flush()
    log.flush()


def write_profile(results: Path) -> Path:
    """Write the profile ``mini`` below ``results``."""
    for seed in (0, 1, 2):
        rise = 1 + seed / 50
        add_run(results, "stl", seed, rise, dataset="rooms", seconds={"train_epoch": 9.0})
        add_run(results, "ls", seed, 1.3 * rise, dataset="rooms", seconds={"train_epoch": 1.0})
        add_run(
            results,
            "taskforce",
            seed,
            0.9 * rise,
            dataset="rooms",
            gram=True,
            seconds={"train_epoch": 3.0},
        )
    add_run(results, "mgda", 0, 1.1, dataset="rooms", gram=True, seconds={"train_epoch": 2.0})
    # a seed in two configurations; a metric without a value; a name that is no name
    add_run(results, "dwa", 0, 1.2, dataset="rooms", hash8="aaaaaaaa")
    add_run(results, "dwa", 0, 1.25, dataset="rooms", hash8="bbbbbbbb")
    lacking = values(1.4) | {"depth": {"abs": None}}
    add_run(results, "uw", 0, 1.4, dataset="rooms", metrics=lacking)
    add_run(results, f"rlw-{EVIL_VARIANT}", 0, 1.5, dataset="rooms")
    # not finished: failed, interrupted with damaged files, and one that never began
    add_run(results, "cagrad", 0, 1, dataset="rooms", done=False, error=EVIL + "\ud800", epochs=2)
    broken = add_run(results, "pcgrad", 1, 1, dataset="rooms", done=False, epochs=3, gram=True)
    with (broken / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 4, "train_loss": {"depth": NaN, "semantic": 0.1}}\nnot JSON\n{"ep')
    sorted((broken / "steps").iterdir())[0].write_bytes(b"PAR1 torn")
    (broken / "environment.json").write_text(json.dumps({"data": PROCEDURAL, "command": [EVIL]}))
    (results / "mini" / "rooms" / "igbv2" / "seed2-0000abcd").mkdir(parents=True)
    for label, factor in (("stl", 1.0), ("ls", 1.2)):
        add_run(results, label, 0, factor, dataset="streets", data=REAL)
    return results / "mini"
