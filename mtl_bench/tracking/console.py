"""What a person sees of a training: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from mtl_bench.reporting.layout import NOTHING, pad
from mtl_bench.reporting.statistics import columns_of
from mtl_bench.reporting.tables import metric_header
from mtl_bench.scores import DeltaM, Score
from mtl_bench.tracking.panel import panel
from mtl_bench.tracking.status_line import (
    ProgressDisplay,
    duration_text,
    epoch_line,
    number_text,
    speed_parts,
)

Numbers = Mapping[str, float]
LazyNumbers = Numbers | Callable[[], Numbers] | None

ESTIMATE_SECONDS = 10.0
"""After so much training the time of a long run is told."""

LONG_SECONDS = 3600.0
"""What is a long run."""

LIVE_SECONDS = 1 / 8
PLAIN_SECONDS = 60.0


class PatientConsole(Console):
    """A console whose reader may leave, as ``head`` does, without ending what it shows."""

    def on_broken_pipe(self) -> None:
        """Show nothing from now on; what else is printed goes nowhere too."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class TrainingConsole:
    """Shows one training, as a context manager.

    On a terminal the display is redrawn at most eight times a second. Elsewhere (a pipe, a log
    file, a batch job) there is one line an epoch, and one a minute within epochs that take longer.
    Everything happens in the caller's thread.

    Args:
        console: where to write; None for standard output.
        clock: seconds that only grow.
        name: begins every line, where other runs write beside this one.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        name: str = "",
    ) -> None:
        self._console = console or PatientConsole()
        self._begin = f"{name}: " if name else ""
        self._clock = clock
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(console=self._console, auto_refresh=False) if terminal else None
        self._interval = LIVE_SECONDS if terminal else PLAIN_SECONDS
        self._due = self._estimate_due = 0.0
        self._progress: ProgressDisplay | None = None
        self._losses: Numbers | None = None
        self._weights: Numbers | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(
        self,
        title: str,
        *,
        epochs: int,
        steps_per_epoch: int,
        tasks: Sequence[str],
        first_epoch: int = 1,
        history: Iterable[Mapping[str, Any]] = (),
        note: str = "",
        score: Score | None = None,
    ) -> None:
        """Announce the training.

        Args:
            title: one line that names the run.
            epochs: epochs of the whole run.
            steps_per_epoch: updates of one epoch.
            tasks: names of the tasks, in the order to show them.
            first_epoch: above 1 after a resume.
            history: the lines of ``metrics.jsonl`` from before a resume.
            note: what a reader must know of the numbers to come.
            score: of the run, Δm by default.
        """
        progress = ProgressDisplay(
            *(title, epochs, steps_per_epoch, tuple(tasks), first_epoch, self._clock),
            score or DeltaM(),
        )
        progress.recall(history)
        compared = isinstance(progress.score, DeltaM) and bool(progress.score.compared)
        told = f"{note}; here epochs are compared with epoch 1" if compared else note
        self._progress = progress
        self._due = self._clock() + (0.0 if self._live else self._interval)
        self._estimate_due = self._clock() + ESTIMATE_SECONDS
        if self._live:
            self._live.start()
            self._redraw()
            announced = told
        else:
            resumed = f", resumed at epoch {first_epoch}" if first_epoch > 1 else ""
            plan = f"{title}: {epochs} epochs of {steps_per_epoch} steps{resumed}"
            announced = f"{plan}; {told}" if told else plan
        if announced:
            self.message(announced)

    def step(self, step: int, losses: LazyNumbers = None, weights: LazyNumbers = None) -> None:
        """Note that a step of the running epoch is done; nearly always only looks at the clock.

        Args:
            step: counts from 1 in every epoch.
            losses: task -> loss, or a function that returns it. The function is called only when
                the numbers are about to be shown, and within this call, so that it may read
                tensors of a device without slowing the steps between.
            weights: task -> weight, or a function, likewise.
        """
        progress = self._running()
        progress.counted += 1
        now = self._clock()
        last = step == progress.steps_per_epoch
        if now >= self._estimate_due:
            self._estimate(progress, step)
        if now < self._due and not last:
            return
        progress.at_step(step)
        if self._live:
            self._losses, self._weights = _numbers(losses), _numbers(weights)
            self._redraw()
        elif now >= self._due:
            self.message(_step_line(progress, _numbers(losses)))
        else:
            return
        self._due = now + self._interval

    def epoch(self, metrics: Mapping[str, Any]) -> None:
        """Show an epoch that has ended, from its line of ``metrics.jsonl``."""
        progress = self._running()
        progress.end_epoch(metrics)
        if self._live:
            self._redraw()
        else:
            self.message(epoch_line(progress, int(metrics["epoch"])))
        self._due = self._clock() + self._interval

    def message(self, text: str) -> None:
        """Print one line, above the live display where there is one."""
        self._console.print(f"{self._begin}{text}", soft_wrap=True, markup=False, highlight=False)

    def finish(
        self, record: Path, summary: Mapping[str, Any], next_commands: Sequence[str]
    ) -> None:
        """Close the display and say what came out, where it is, and what to type next.

        Args:
            record: folder of the run record.
            summary: contents of its ``summary.json``.
            next_commands: command lines that make sense now.
        """
        self.close()
        for line in closing_lines(record, summary, next_commands):
            self.message(line)

    def close(self) -> None:
        """Leave the terminal as it was; may be called twice."""
        if self._live:
            self._live.stop()

    def _estimate(self, progress: ProgressDisplay, step: int) -> None:
        """Tell once how long the run will take, where nobody would wait for it."""
        self._estimate_due = math.inf
        progress.at_step(step)
        left = progress.seconds_left()
        if left is not None and left > LONG_SECONDS:
            self.message(
                f"this run takes about {duration_text(left)} more at this speed; Ctrl-C stops it, "
                "and the same command goes on; a smaller profile takes less"
            )

    def _running(self) -> ProgressDisplay:
        if self._progress is None:
            raise RuntimeError("TrainingConsole.start comes before step and epoch")
        return self._progress

    def _redraw(self) -> None:
        if self._live and self._progress:
            shown = panel(self._progress, self._losses, self._weights, self._console.width)
            self._live.update(shown, refresh=True)


def closing_lines(
    record: Path, summary: Mapping[str, Any], next_commands: Sequence[str]
) -> list[str]:
    """Return the lines of ``TrainingConsole.finish``."""
    rule = summary["selection"]
    found = summary["metrics"][rule]
    columns = columns_of(summary["tasks"])
    with_metric = len({column.metric for column in columns}) > 1
    heads = [metric_header(column, with_metric=with_metric) for column in columns]
    values = [found.get(column.task, {}).get(column.metric) for column in columns]
    shown = [
        NOTHING if value is None else f"{value:.{column.decimals}f}"
        for value, column in zip(values, columns, strict=True)
    ]
    head_width, width = max(map(len, heads)), max(map(len, shown))
    return [
        f"finished {summary['epochs']} epochs; test metrics, selection {rule}, "
        f"{summary['data']['kind']} data, profile {summary['profile']}:",
        *(
            f"  {pad(head, head_width)}  {pad(value, width, right=True)}"
            for head, value in zip(heads, shown, strict=True)
        ),
        *(
            f"no training label of task {task} in the whole run: its metrics are those of an "
            "untrained head"
            for task in summary["untrained"]
        ),
        f"record: {record}",
        *(["next:"] if next_commands else []),
        *(f"  {command}" for command in next_commands),
    ]


def _numbers(value: LazyNumbers) -> Numbers | None:
    return value() if callable(value) else value


def _step_line(progress: ProgressDisplay, losses: Numbers | None) -> str:
    parts = [
        f"epoch {progress.epoch}/{progress.epochs}",
        f"step {progress.step}/{progress.steps_per_epoch}",
        *([f"loss {number_text(sum(losses.values()) / len(losses))}"] if losses else []),
        *speed_parts(progress),
    ]
    return "  ".join(parts)


def make_console(progress: str, name: str = "") -> TrainingConsole:
    """Return the display that ``logger.progress`` names: auto, plain, named or off.

    Args:
        progress: named is plain with the name of the run in every line.
        name: of the run.
    """
    quiet = progress == "off"
    console = PatientConsole(quiet=quiet)
    # a notebook calls itself a terminal, but keeps what is overwritten
    if progress in ("plain", "named") or console.is_jupyter:
        console = PatientConsole(quiet=quiet, force_terminal=False, force_jupyter=False)
    return TrainingConsole(console, name=name if progress == "named" else "")
