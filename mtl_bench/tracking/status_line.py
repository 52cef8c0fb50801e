"""Where a training is: epoch, step, speed, time left, best validation so far. No output here."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from mtl_bench.scores import Score


@dataclass
class ProgressDisplay:
    """Counts epochs and steps, both from 1.

    Args:
        title: one line that names the run.
        epochs: epochs of the whole run.
        steps_per_epoch: updates of one epoch.
        tasks: names of the tasks.
        first_epoch: epoch that this process starts with, above 1 after a resume.
        clock: seconds that only grow, for instance ``time.monotonic``.
        score: of the run.

    The caller raises ``counted`` at every step. It differs from ``step`` in a run that was resumed
    within an epoch; ``rate`` (steps per second) comes from ``counted``.
    """

    title: str
    epochs: int
    steps_per_epoch: int
    tasks: tuple[str, ...]
    first_epoch: int
    clock: Callable[[], float]
    score: Score
    step: int = 0
    loss: float | None = None
    first: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading | None = None
    best: tuple[Reading, int] | None = None
    rate: float | None = None
    counted: int = 0
    epochs_here: float = 0.0
    epoch: int = field(init=False)
    started: float = field(init=False)
    epoch_started: float = field(init=False)

    def __post_init__(self) -> None:
        self.epoch = self.first_epoch
        self.started = self.epoch_started = self.clock()

    def recall(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take in the epochs before a resume, so that the best one is the whole run's best."""
        for metrics in lines:
            self._take(metrics)

    def at_step(self, step: int) -> None:
        """Note that ``step`` of the running epoch is done."""
        self.step = step
        seconds = self.clock() - self.epoch_started
        if seconds > 0:
            self.rate = self.counted / seconds

    def end_epoch(self, metrics: Mapping[str, Any]) -> None:
        """Take in one line of ``metrics.jsonl`` and move to the next epoch."""
        self._take(metrics)
        self.epoch = int(metrics["epoch"]) + 1
        self.epochs_here += self.counted / self.steps_per_epoch
        self.step = self.counted = 0
        self.epoch_started = self.clock()

    def _take(self, metrics: Mapping[str, Any]) -> None:
        losses = [x for x in metrics.get("train_loss", {}).values() if x is not None]
        self.loss = fmean(losses) if losses else None
        self.first = self.first or metrics
        self.reading = found = reading_of(metrics, self.score, self.first)
        if found and (self.best is None or found.better(found.value, self.best[0].value)):
            self.best = (found, int(metrics["epoch"]))

    def seconds_left(self) -> float | None:
        """Estimate from this process's epochs, evaluation included; from steps before the first."""
        to_go = self.epochs - self.epoch + 1 - self.step / self.steps_per_epoch
        if self.epochs_here:
            return max(0.0, to_go) * (self.epoch_started - self.started) / self.epochs_here
        return to_go * self.steps_per_epoch / self.rate if self.rate else None


def clock_text(seconds: float | None) -> str:
    """Return ``m:ss`` or ``h:mm:ss``, a dash when unknown."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration_text(seconds: float) -> str:
    """Return hours, or days from two days on: ``21 hours``, ``5.3 days``."""
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"


def number_text(value: float) -> str:
    """Return three significant digits: ``0.0500``, ``14.2``, ``312``, ``1.2e-05``."""
    shown = f"{value:#.3g}" if 1e-3 <= abs(value) < 1e3 else f"{value:.3g}"
    return shown.removesuffix(".")


class Reading(NamedTuple):
    """What says how good an epoch was.

    Args:
        name: what it is.
        value: the number.
        shown: the number as text, or how far the epoch is from the first one.
        since: what that is relative to; empty for the number itself.
        better: tells whether the first of two is better.
        selects: whether it tells which epoch is the best; that of a test does not.
    """

    name: str
    value: float
    shown: str
    since: str
    better: Callable[[float, float], bool]
    selects: bool


def reading_of(line: Mapping[str, Any], score: Score, first: Mapping[str, Any]) -> Reading | None:
    """Return what a line of ``metrics.jsonl`` says of its epoch; None if it says nothing.

    Args:
        line: of the epoch.
        score: of the run.
        first: the run's first line.
    """
    for split in ("validation", "test"):
        if (value := line.get(f"{score.key}_{split}")) is not None:
            name = f"{split} {score.label}"
            change = score.since(line.get(split, {}), first.get(split, {}))
            shown = score.text(value if change is None else change)
            since = "" if change is None else f" from epoch {first['epoch']}"
            return Reading(name, value, shown, since, score.better, split == "validation")
    if losses := line.get("validation_loss"):
        mean = fmean(losses.values())
        return Reading("validation loss", mean, number_text(mean), "", operator.lt, selects=True)
    return None


def score_text(progress: ProgressDisplay) -> str | None:
    """Return ``validation Δm -12.4 % from epoch 1 (best -14.1 % at 2)``, None without a score.

    The best epoch is that of the score itself. Without validation data none is the best one.
    """
    reading, best = progress.reading, progress.best
    if reading is None or best is None:
        return None
    shown = f"{reading.name} {reading.shown}{reading.since}"
    if not reading.selects:
        return shown
    if reading.value == best[0].value:
        return f"{shown} (best)"
    return f"{shown} (best {best[0].shown} at {best[1]})"


def epoch_line(progress: ProgressDisplay, epoch: int) -> str:
    """Return the line of an epoch that has ended: mean training loss of the tasks, score, speed."""
    parts = [
        f"epoch {epoch}/{progress.epochs}",
        None if progress.loss is None else f"loss {number_text(progress.loss)}",
        score_text(progress),
        *speed_parts(progress),
    ]
    return "  ".join(part for part in parts if part)


def speed_parts(progress: ProgressDisplay) -> list[str]:
    """Return steps per second and the time left."""
    rate = [] if progress.rate is None else [f"{number_text(progress.rate)} steps/s"]
    return [*rate, f"left {clock_text(progress.seconds_left())}"]
