"""What listens to a training without taking part in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mtl_bench.errors import MtlBenchError
from mtl_bench.tracking.console import TrainingConsole
from mtl_bench.tracking.mirror import Mirror

if TYPE_CHECKING:
    from mtl_bench.training.trainer import Trainer
    from mtl_bench.training.update import StepResult


class Observer:
    """Hooks of a training; a subclass overrides those that it wants.

    They are called in the trainer's thread and must leave the training as it is. One may end it
    with ``Trainer.finish``, or interrupt it with ``Trainer.stop``.
    """

    def on_train_start(self, trainer: Trainer) -> None:
        """Called before the first step, after a checkpoint was loaded."""

    def on_step_start(self, trainer: Trainer, data: Any) -> None:  # noqa: ANN401
        """Called before a step, with what it learns from."""

    def on_step_end(
        self, trainer: Trainer, results: Sequence[StepResult], error: MtlBenchError | None
    ) -> None:
        """Called after a step.

        Args:
            trainer: that made it; ``progress`` counts the step if nothing was refused.
            results: one for each component that was updated, in order; none if the algorithm had
                nothing to update. Reading losses that are still on a device waits for it.
            error: why the step was refused, None if it was made.
        """

    def on_epoch_end(self, trainer: Trainer, line: dict[str, Any]) -> None:
        """Called after an epoch's line was added to metrics.jsonl."""

    def on_checkpoint(self, trainer: Trainer) -> None:
        """Called after a checkpoint was written."""

    def on_message(self, text: str) -> None:
        """Called with a line for a person."""


class ConsoleObserver(Observer):
    """Shows a training on a console."""

    def __init__(self, console: TrainingConsole) -> None:
        self.console = console

    def on_train_start(self, trainer: Trainer) -> None:
        """Announce the training."""
        self.console.start(
            trainer.record.path.as_posix(),
            epochs=trainer.settings.epochs,
            steps_per_epoch=trainer.algorithm.steps_per_epoch,
            tasks=trainer.names,
            first_epoch=trainer.progress.epoch,
            history=trainer.progress.history,
            note=trainer.algorithm.note,
            score=trainer.algorithm.score,
        )

    def on_step_end(
        self, trainer: Trainer, results: Sequence[StepResult], error: MtlBenchError | None
    ) -> None:
        """Show losses and weights of the first component."""
        if error is not None:
            return
        number = trainer.progress.batch + 1
        if not results:  # the algorithm had nothing to update
            self.console.step(number)
            return
        first = results[0]

        def losses() -> dict[str, float]:
            trainer.settle()
            return first.losses

        self.console.step(number, losses, lambda: first.weights)

    def on_epoch_end(self, trainer: Trainer, line: dict[str, Any]) -> None:
        """Show the epoch."""
        self.console.epoch(line)

    def on_message(self, text: str) -> None:
        """Show a line."""
        self.console.message(text)


class EarlyStopping(Observer):
    """Ends a training after epochs that are no task's best.

    What selects an epoch decides: the validation score, or the validation loss without one. A tie
    counts as better. It looks at nothing but the state of the algorithm, so that a run that was
    stopped and goes on ends where it would have ended.

    Args:
        patience: epochs without a better one.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_start(self, trainer: Trainer) -> None:
        """End a training that was killed after its last epoch."""
        best, done = trainer.algorithm.selected_epochs(), len(trainer.progress.history)
        if best and done - max(best.values()) >= self.patience:
            trainer.finish(
                f"no better epoch since {max(best.values())}: the training ends after {done} of "
                f"{trainer.settings.epochs} epochs (trainer.early_stopping={self.patience})"
            )

    def on_epoch_end(self, trainer: Trainer, line: dict[str, Any]) -> None:
        """End the training if it is time."""
        self.on_train_start(trainer)


class MirrorObserver(Observer):
    """Tells a dashboard's process how far the record is written."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror

    def on_train_start(self, trainer: Trainer) -> None:
        """Show what is there already."""
        self.on_checkpoint(trainer)

    def on_checkpoint(self, trainer: Trainer) -> None:
        """Show what is new."""
        self.mirror.look(len(trainer.progress.history), trainer.progress.step)
