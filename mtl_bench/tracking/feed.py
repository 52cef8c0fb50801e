"""What a dashboard shows of a run, read from the run's record while or after it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mtl_bench.records.epochs import complete_lines, parse_epoch
from mtl_bench.records.steps import find_components, find_parts, read_part
from mtl_bench.scores import Score, score_of

if TYPE_CHECKING:
    from pyarrow import Table

Values = dict[str, float]


class UpdateRow(NamedTuple):
    """Numbers of one update of a run, those of its epoch with them if it is the epoch's last."""

    step: int
    values: Values


class _StepRow(NamedTuple):
    """A row of a component's step log that is read but not yet given out."""

    step: int
    epoch: int
    component: str
    table: Table
    place: int

    def values(self) -> Values:
        (row,) = self.table.slice(self.place, 1).to_pylist()
        return step_values(row, self.component)


class _Update(NamedTuple):
    """What the step logs of all components tell of an update."""

    step: int
    epoch: int
    rows: tuple[_StepRow, ...]

    def values(self) -> Values:
        return dict(chain.from_iterable(row.values().items() for row in self.rows))


class Feed:
    """Reads a record in pieces, every update at most once and in their order.

    Args:
        record: the run's folder.
        every: of the step log, only updates whose number this divides, and the last of each epoch.
        score: of the run.

    The numbers of an epoch stand in the row of its last update. An epoch of which the step log
    tells nothing comes one update after what was before it.
    """

    def __init__(self, record: Path, every: int, score: Score) -> None:
        self.record, self.every, self.score = record, every, score
        self.last = 0
        self._position = 0
        self._lines: dict[int, dict[str, Any]] = {}
        self._parts: set[Path] = set()
        self._held: _Update | None = None

    def read(self, epochs: float = math.inf, step: float = math.inf) -> Iterator[UpdateRow]:
        """Return what is new up to a point at which the whole record was written.

        Args:
            epochs: epochs that had ended then.
            step: updates that had been made then.

        Raises:
            ValueError, RecordError: a file is damaged.
            OSError: a file can't be read.
        """
        self._read_lines()
        for row in self._read_steps(step):
            if self._held is not None:
                yield from self._give(self._held, ended=self._held.epoch < row.epoch)
            self._held = row
        held = self._held
        if held is not None and held.epoch <= epochs and held.epoch in self._lines:
            yield from self._give(held, ended=True)
            self._held = None
        running = math.inf if self._held is None else self._held.epoch
        yield from self._give_lines(min(1 + epochs, running))

    def _give(self, row: _Update, *, ended: bool) -> Iterator[UpdateRow]:
        yield from self._give_lines(row.epoch)
        line = self._lines.pop(row.epoch, None) if ended else None
        if line is not None or row.step % self.every == 0:
            self.last = row.step
            own = epoch_values(line, self.score) if line else {}
            yield UpdateRow(row.step, row.values() | own)

    def _give_lines(self, before: float) -> Iterator[UpdateRow]:
        for epoch in sorted(epoch for epoch in self._lines if epoch < before):
            self.last += 1
            yield UpdateRow(self.last, epoch_values(self._lines.pop(epoch), self.score))

    def _read_lines(self) -> None:
        """Take in the lines of metrics.jsonl that are complete."""
        for text in complete_lines(self.record / "metrics.jsonl", self._position):
            self._position += len(text) + 1
            line = parse_epoch(text)
            self._lines[line["epoch"]] = line

    def _read_steps(self, step: float) -> Iterator[_Update]:
        folder = self.record / "steps"
        logs = [self._read_log(folder, component, step) for component in find_components(folder)]
        for (number, epoch), rows in groupby(merge(*logs, key=itemgetter(0)), itemgetter(0, 1)):
            yield _Update(number, epoch, tuple(rows))

    def _read_log(self, folder: Path, component: str, step: float) -> Iterator[_StepRow]:
        for path in find_parts(folder / component):
            if path in self._parts or int(path.stem.partition("-")[2]) > step:
                continue
            self._parts.add(path)
            table = read_part(path)
            numbers = zip(table["step"].to_pylist(), table["epoch"].to_pylist(), strict=True)
            for place, (number, epoch) in enumerate(numbers):
                yield _StepRow(number, epoch, component, table, place)


def step_values(row: Mapping[str, float | None], component: str = "") -> Values:
    """Return the numbers of a row of the step log, the method's diagnostics under ``method/``.

    A component's name stands in front of the task's, as in metrics.jsonl. NaN, which stands for a
    task without labels, is left out, as are the times: those of the epochs say more.

    >>> step_values({"step": 3, "epoch": 1, "loss/mu": 0.5, "reward": 2.0}, "critic")
    {'loss/critic/mu': 0.5, 'method/critic/reward': 2.0}
    """
    return {
        _dashboard_key(name, component): value
        for name, value in row.items()
        if name not in ("step", "epoch")
        and not name.startswith("seconds_")
        and value is not None
        and not math.isnan(value)
    }


def _dashboard_key(column: str, component: str) -> str:
    kind, _, rest = (column if "/" in column else f"method/{column}").partition("/")
    return "/".join(filter(None, [kind, component, rest]))


def epoch_values(line: Mapping[str, Any], score: Score) -> Values:
    """Return the numbers of a line of metrics.jsonl, for instance ``validation/mu/mae``."""
    names = {"weights": "mean_weight"}
    names |= {f"{score.key}_{split}": f"{score.panel}/{split}" for split in ("validation", "test")}
    return flatten({names.get(key, key): value for key, value in line.items()})


def final_values(summary: Mapping[str, Any]) -> Values:
    """Return the numbers of a finished run: metrics and score under every rule, and cost."""
    score = score_of(summary.get("score"), summary["tasks"])
    values: dict[str, Any] = {
        rule: metrics | {score.panel: score.value(metrics)}
        for rule, metrics in summary["metrics"].items()
    }
    for key in ("seconds", "parameters", "peak_memory_bytes", "epochs", "steps"):
        values[key] = summary.get(key)
    return flatten({"final": values})


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Values:
    """Return the numbers of nested mappings by their joined keys; what is no number is left out."""
    flat: Values = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            flat[prefix + key] = value
    return flat
