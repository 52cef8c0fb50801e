"""The step log: one row per optimisation step, in parquet parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.files import write_atomically


class StepLog:
    """Collects rows and writes them as ``part-<first step>.parquet``.

    Args:
        folder: where the parts go.
        tasks: task names, in the order of the arrays.

    Columns: step, epoch, ``loss/<task>``, ``weight/<task>``, and where the method asked for the
    Gram matrix ``gram/<task>`` (its diagonal, the squared gradient norms) and
    ``cosine/<task>/<task>``; then the method's diagnostics and the seconds of each phase.
    """

    def __init__(self, folder: Path, tasks: tuple[str, ...]) -> None:
        self.folder = folder
        self.tasks = tasks
        self.rows: list[dict[str, Any]] = []

    def drop_after(self, step: int) -> None:
        """Remove the parts that begin after ``step``: a resumed run writes them again."""
        for part in self.folder.glob("part-*.parquet"):
            if int(part.stem.partition("-")[2]) > step:
                part.unlink()

    def add(
        self,
        step: int,
        epoch: int,
        losses_T: np.ndarray,
        weights_T: np.ndarray,
        gram_TT: np.ndarray | None,
        numbers: dict[str, float],
    ) -> None:
        """Take in one step; every step of a run must bring the same ``numbers``."""
        self.rows.append(
            {
                "step": step,
                "epoch": epoch,
                "loss": losses_T,
                "weight": weights_T,
                "gram": gram_TT,
                "numbers": numbers,
            }
        )

    def flush(self) -> None:
        """Write the collected rows as one part."""
        if not self.rows:
            return
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.table(self._columns())
        path = self.folder / f"part-{self.rows[0]['step']:09d}.parquet"
        write_atomically(path, lambda stream: parquet.write_table(table, stream))
        self.rows.clear()

    def _columns(self) -> dict[str, np.ndarray]:
        columns = {
            "step": np.array([row["step"] for row in self.rows]),
            "epoch": np.array([row["epoch"] for row in self.rows]),
        }
        for name in ("loss", "weight"):
            values = np.stack([row[name] for row in self.rows]).astype(np.float32)
            columns |= {f"{name}/{task}": values[:, t] for t, task in enumerate(self.tasks)}
        if self.rows[0]["gram"] is not None:
            grams = np.stack([row["gram"] for row in self.rows])
            squares = np.diagonal(grams, axis1=1, axis2=2)
            columns |= {f"gram/{task}": squares[:, t] for t, task in enumerate(self.tasks)}
            norms = np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
            for i, first in enumerate(self.tasks):
                for j, second in enumerate(self.tasks[:i]):
                    cosine = grams[:, i, j] / (norms[:, i] * norms[:, j])
                    columns[f"cosine/{second}/{first}"] = cosine.astype(np.float32)
        for name in self.rows[0]["numbers"]:
            values = np.array([row["numbers"][name] for row in self.rows])
            columns[name] = values.astype(np.float32)
        return columns
