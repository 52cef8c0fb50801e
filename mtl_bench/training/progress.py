"""How far a run is: what the trainer must remember between two steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl_bench.training.update import StepResult


TRAINING = ("data", "forward", "method", "optimizer")
PHASES = (*TRAINING, "validation", "test", "checkpoint")
"""Where a run's time goes. ``method`` is gradients, weights and whatever else a method does."""


SCHEDULER = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds ready and without one, turns; of the calling thread."""


def time_without_core() -> float:
    """Return for how long this thread has been ready to run while others had all cores.

    NaN where the system doesn't tell.
    """
    try:
        return int(SCHEDULER.read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return math.nan


@dataclass
class Progress:
    """Counters, sums of the running epoch, and the epochs so far.

    Args:
        epoch: the running epoch, from 1.
        batch: updates of it that are done, each of ``trainer.accumulate`` batches.
        step: updates of the whole run.
        skipped: updates that were left out because something in them was not finite.
        fallbacks: updates of the running epoch whose solver did not converge or met a singular
            Gram matrix.
        loss_sums: task -> sum of the running epoch's losses, ``component/task`` where there are
            several components; so are the counts and the weights.
        loss_counts: task -> updates of the running epoch that had labels of it.
        weight_sums: task -> sum of the running epoch's weights.
        seconds: phase -> time in the running epoch.
        total_seconds: phase -> time in the whole run.
        cpu_seconds: seconds of CPU time that the running epoch's training has taken.
        waiting_seconds: seconds in the running epoch, its evaluation included, in which the
            training was ready and had no core; NaN where the system doesn't tell.
        history: lines of metrics.jsonl.
        peak_memory_bytes: the most memory that a process of this run has used.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    skipped: int = 0
    fallbacks: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_counts: dict[str, int] = field(default_factory=dict)
    weight_sums: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    total_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    cpu_seconds: float = 0.0
    waiting_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    peak_memory_bytes: int = 0

    def __post_init__(self) -> None:
        self._cpu: float | None = None
        self._waiting = time_without_core()

    def add_time(self, phase: str, seconds: float) -> None:
        """Add time to a phase that has just ended."""
        self.seconds[phase] += seconds
        self.total_seconds[phase] += seconds
        before, self._cpu = self._cpu, time.process_time()
        if phase not in TRAINING:  # not after every step, since asking takes its time
            waited, self._waiting = self._waiting, time_without_core()
            self.waiting_seconds += self._waiting - waited
        elif before is not None:
            self.cpu_seconds += self._cpu - before

    def add_step(self, results: Sequence[StepResult]) -> None:
        """Add the losses and weights of each component's update of a step."""
        self.fallbacks += any(result.diagnostics.get("solver_fallback") for result in results)
        for result in results:
            losses, weights = result.losses, result.weights
            for task in losses:
                key = loss_key(result.component, task)
                self.loss_counts[key] = self.loss_counts.get(key, 0) + 1
            for sums, values in ((self.loss_sums, losses), (self.weight_sums, weights)):
                for task, value in values.items():
                    key = loss_key(result.component, task)
                    sums[key] = sums.get(key, 0.0) + value

    def mean_losses(self) -> dict[str, float | None]:
        """Return task -> mean loss of the running epoch, None for one without any label."""
        return {
            task: self.loss_sums[task] / self.loss_counts[task] if task in self.loss_sums else None
            for task in self.weight_sums
        }

    def describe_epoch(self, found: dict[str, Any], learning_rate: float) -> dict[str, Any]:
        """Return the running epoch's line of metrics.jsonl.

        Args:
            found: what its evaluation has found.
            learning_rate: that it was trained with.
        """
        counted = self.batch - self.skipped
        waiting = None if math.isnan(self.waiting_seconds) else self.waiting_seconds
        return {
            "epoch": self.epoch,
            "train_loss": self.mean_losses(),
            **found,
            "weights": {task: total / counted for task, total in self.weight_sums.items()},
            "learning_rate": learning_rate,
            "skipped": self.skipped,
            "solver_fallbacks": self.fallbacks,
            "seconds": {**self.seconds, "cpu": self.cpu_seconds, "waiting": waiting},
        }

    def finish_epoch(self, line: dict[str, Any]) -> None:
        """Keep the epoch's line and begin the next epoch."""
        self.history.append(line)
        self.epoch += 1
        self.batch = self.skipped = self.fallbacks = 0
        self.loss_sums, self.loss_counts, self.weight_sums = {}, {}, {}
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.cpu_seconds = self.waiting_seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)


def loss_key(component: str, task: str) -> str:
    """Return the key of a component's task in the sums and in metrics.jsonl."""
    return f"{component}/{task}" if component else task
