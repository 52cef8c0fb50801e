"""Trains cells of one data set: ``python -m tests.golden.train DATASET FILE [CELL ...]``.

Everything goes through the command line and is read from the run records.
"""

import contextlib
import gc
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.golden.cells import ROOT, Cell, cells_of
from tests.golden.kernels import environment, fix_rounding

ALONE = ("trainer.device=cpu", "trainer.threads=1", "trainer.workers=0", "logger.progress=off")

KEPT = ("train_loss", "weights", "learning_rate", "validation", "skipped")
"""What a golden has of the last line of metrics.jsonl; its test is the metric of the last epoch."""

POISONED = 12723
"""A molecule of the synthetic QM9 that is among the first to be trained on."""


def train_all(dataset: str, folder: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """Train cells of a data set in a process of its own; return cell -> numbers.

    Args:
        dataset: its name.
        folder: an empty one for data and records.
        names: of the cells, by default all.
    """
    file = folder / "numbers.json"
    run_fixed("-m", "tests.golden.train", dataset, str(file), *names)
    numbers: dict[str, Any] = json.loads(file.read_text())
    return numbers


def run_fixed(*words: str) -> None:
    """Run Python in an environment that fixes the kernels; what it prints is shown if it fails."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def make_data(dataset: str, data: Path) -> None:
    """Make a data set at its smallest."""
    import numpy as np

    from mtl_bench.cli import main
    from tests import synthetic_qm9

    if dataset == "qm9":
        synthetic_qm9.write(data)
        positions = synthetic_qm9.arrays()["positions"].copy()
        positions[synthetic_qm9.ATOMS * POISONED] = np.float32(1e30)
        synthetic_qm9.write(data / "poisoned", positions=positions)
    else:
        sizes = {"nyuv2": ("height=32", "width=64"), "cityscapes": ("height=64", "width=128")}
        frames = ("train=11", "val=1", "jobs=1", f"paths.data={data}")
        assert main(["data", "synth", dataset, *frames, *sizes[dataset]]) == 0


def train(cell: Cell, data: Path, results: Path) -> Path:
    """Train one cell, or go on with it, and return its record."""
    from mtl_bench.cli import main

    paths = (
        f"paths.data={data / 'poisoned' if cell.poisoned else data}",
        f"paths.results={results}",
    )
    status = main(["train", *cell.overrides, *ALONE, *paths])
    assert status == 0, f"{cell.name}: mtl-bench train ended with {status}"
    (record,) = results.glob("*/*/*/seed*-*")
    return record


def read_numbers(record: Path) -> dict[str, Any]:
    """Return what a record says was computed."""
    import pyarrow.parquet as pq

    parts = [pq.read_table(path).to_pydict() for path in sorted(record.rglob("*.parquet"))]
    columns = {name: [x for part in parts for x in part[name]] for name in parts[0]}
    summary = json.loads((record / "summary.json").read_text())
    last = json.loads((record / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "tasks": list(summary["tasks"]),
        **{
            f"{name}_ST": [
                [_shortest(x) for x in row]
                for row in zip(
                    *(columns[f"{name}/{task}"] for task in summary["tasks"]), strict=True
                )
            ]
            for name in ("loss", "weight")
        },
        "last_epoch": {key: last[key] for key in KEPT if key in last},
        "metrics": summary["metrics"],
        "selected_epochs": summary["selected_epochs"],
        "network": digest_network(record / "checkpoint" / "last.pt"),
    }


def digest_network(checkpoint: Path) -> str:
    """Return a digest of a network's tensors, whatever their names and order."""
    import torch

    state = torch.load(checkpoint, weights_only=True)["state"]["network"]
    tensors = sorted(tensor.numpy().tobytes() for tensor in state.values())
    return hashlib.sha256(b"".join(tensors)).hexdigest()[:16]


def _shortest(value: float) -> float:
    """Return the number of the fewest digits that is the same float32."""
    import numpy as np

    short = float(str(np.float32(value)))
    assert np.float32(short) == np.float32(value)
    return short


def main(dataset: str, file: Path, *names: str) -> None:
    """Train cells of a data set, by default all, one after another and write their numbers."""
    fix_rounding()
    numbers = {}
    data = file.parent / "data"
    make_data(dataset, data)
    cells = [cell for cell in cells_of(dataset) if not names or cell.name in names]
    for number, cell in enumerate(cells):
        if number == 1:
            gc.freeze()  # what is imported by now; every training collects garbage
        with tempfile.TemporaryDirectory(dir=file.parent) as results:
            numbers[cell.name] = read_numbers(train(cell, data, Path(results)))
    file.write_text(json.dumps(numbers, allow_nan=False))


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
