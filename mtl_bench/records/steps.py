"""The step log: one row per optimisation step, in parquet parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mtl_bench.errors import RecordError
from mtl_bench.records.parts import PartStore

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

PATTERN = f"part-{'[0-9]' * 9}.parquet"

CURVATURE = "curvature"
"""Column of the multi-task curvature, see ``trainer.curvature_every``."""


class Span(NamedTuple):
    """Which steps a part of a step log holds: the first, the last, and how many."""

    first: int
    last: int
    rows: int


def find_parts(folder: Path) -> list[Path]:
    """Return the parts of a step log in the order of their steps."""
    return sorted(folder.glob(PATTERN))


def find_components(folder: Path) -> list[str]:
    """Return the components that have a step log below a folder, "" for the only one."""
    return sorted({path.parent.name for path in folder.glob(f"*/{PATTERN}")}) or [""]


def span_of(steps_R: np.ndarray) -> Span | None:
    """Return what a part holds by the numbers of its steps; None where they are no such numbers."""
    if not len(steps_R) or not np.issubdtype(steps_R.dtype, np.integer):
        return None
    return Span(int(steps_R[0]), int(steps_R[-1]), len(steps_R))


def missing_steps(spans: Sequence[Span | None], steps: int | None) -> str:
    """Return which steps of a run no part of its log holds, such as ``301 to 600``; "" if none.

    A log may keep every N-th step alone: N is the longest way from one to the next within a part.

    Args:
        spans: of the parts in their order; None for one that can't be read, which isn't missing.
        steps: of the whole run; None where nothing says so, and its end can't be missed.
    """
    every = _step_width([span for span in spans if span is not None])
    missing, last = list[str](), 0
    for before, span in zip((Span(0, 0, 0), *spans), spans, strict=False):
        last = span.last if span else last
        if before and span and span.first - before.last > every:
            missing.append(f"{before.last + 1} to {span.first - 1}")
    if steps is not None and steps - last >= every and (not spans or spans[-1]):
        missing.append(f"{last + 1} to {steps}")
    return ", ".join(missing)


def _step_width(spans: Sequence[Span]) -> int:
    within = [(span.last - span.first) // (span.rows - 1) for span in spans if span.rows > 1]
    ends = [0, *(span.last for span in spans)]
    between = [after - before for before, after in pairwise(ends)]
    return max(1, max(within) if within else min(between, default=1))


def open_part(path: Path) -> ParquetFile:
    """Open one part of a step log.

    Raises:
        RecordError: it is no parquet file, or has columns other than of numbers.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        part = parquet.ParquetFile(path, page_checksum_verification=True)
        for column in part.schema_arrow:
            if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                raise ValueError(f"column {column.name} has type {column.type}")
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RecordError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    return part


def read_part(path: Path, columns: Sequence[str] | None = None) -> Table:
    """Return the rows of a part.

    Args:
        path: of the part.
        columns: read alone, those of them that it has; None for all.

    Raises:
        RecordError: see `open_part`, or its data are damaged.
    """
    from pyarrow import ArrowException

    with open_part(path) as part:
        try:
            return part.read(columns)
        except (OSError, ArrowException) as error:
            raise RecordError(f"{path} can't be read: {' '.join(str(error).split())}") from error


def read_steps(
    folder: Path, columns: Sequence[str] | None = None, updates: int | None = None
) -> Table | None:
    """Return a whole step log as one table, ordered by ``step``.

    Args:
        folder: of its parts.
        columns: names as ``StepLog`` writes them; nothing else but ``step`` is read from the disk.
            None for all, with nulls where a part lacks one.
        updates: of the whole run, as its summary says; None if it doesn't.

    Returns:
        None if a part lacks one of the columns.

    Raises:
        RecordError: there is no step log, or a part of it is missing or can't be read.
    """
    import pyarrow as pa

    wanted = None if columns is None else ["step", *columns]
    tables = []
    for path in find_parts(folder):
        table = read_part(path, wanted)
        if not set(wanted or ()) <= set(table.column_names):
            return None
        tables.append(table)
    if not tables:
        raise RecordError(f"{folder.parent} has no step log")
    spans = [span_of(table["step"].to_numpy()) for table in tables]
    if missing := missing_steps(spans, updates):
        raise RecordError(f"{folder} lacks updates {missing}")
    return pa.concat_tables(tables, promote_options="permissive")


def step_series(
    record: Path, columns: Sequence[str], updates: int | None = None, component: str = ""
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the steps, (N,), and the named columns, (N, K) in float64; None if some aren't there.

    Args:
        record: folder of the run.
        columns: names as ``StepLog`` writes them; nothing else is read from the disk.
        updates: of the whole run, as its summary says; None if it doesn't.
        component: whose updates are read, "" for the only one.

    Raises:
        RecordError: there is no step log, or a part of it is missing or can't be read.
    """
    table = read_steps(record / "steps" / component, columns, updates)
    if table is None:
        return None
    values = [np.asarray(table[name], dtype=np.float64) for name in columns]
    return table["step"].to_numpy(), np.stack(values, axis=1)


class StepLog:
    """Collects rows and writes them as ``part-<first step>.parquet``.

    Args:
        folder: of the step logs of a run.
        tasks: task names, in the order of the arrays.
        component: whose updates these are: the name of a folder within; empty for the only one.
        every: only steps whose number this divides are kept.

    Columns: step, epoch, ``loss/<task>``, ``weight/<task>``, and where the method asked for the
    Gram matrix ``gram/<task>`` (its diagonal, the squared gradient norms) and
    ``cosine/<task>/<task>``; then the method's diagnostics, the
    curvature where ``trainer.curvature_every`` asks for it, and the seconds of each phase. A step
    that had no labels of a task has NaN there. A lost part costs the figures its steps, and the
    training nothing.
    """

    def __init__(
        self, folder: Path, tasks: tuple[str, ...], component: str = "", every: int = 1
    ) -> None:
        self.store = PartStore(folder, component, PATTERN)
        self.tasks = tasks
        self.every = every
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        step: int,
        epoch: int,
        present: Sequence[int],
        losses_S: np.ndarray,
        weights_T: np.ndarray,
        gram_SS: np.ndarray | None,
        numbers: dict[str, float],
    ) -> None:
        """Take in one step, if it is one to keep; each must bring the same ``numbers``.

        Args:
            step: number of the update in the run.
            epoch: number of its epoch.
            present: numbers of the S tasks that it had labels of.
            losses_S: their losses.
            weights_T: weights of all tasks.
            gram_SS: Gram matrix of the tasks that were present, if the method asked for it.
            numbers: diagnostics and times.
        """
        if step % self.every:
            return
        tasks = len(self.tasks)
        losses_T = np.full(tasks, np.nan)
        losses_T[list(present)] = losses_S
        gram_TT = None
        if gram_SS is not None:
            gram_TT = np.full((tasks, tasks), np.nan)
            gram_TT[np.ix_(present, present)] = gram_SS
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
        self.store.write(
            f"part-{self.rows[0]['step']:09d}.parquet",
            lambda stream: parquet.write_table(table, stream, write_page_checksum=True),
        )
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
