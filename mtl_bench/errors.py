"""Errors that a user can fix: one line that names the key, file or task, and the remedy."""

from __future__ import annotations

import sys
from typing import Any


class MtlBenchError(Exception):
    """Base of every error that the command line prints as one line.

    Attributes:
        told: whether another process of the same training prints it.
    """

    exit_status = 1
    told = False


class UnwritableError(MtlBenchError):
    """A folder that can't be written; the command line adds which setting names another one."""


class ConfigError(MtlBenchError):
    """A key, a value or a combination that can't be run."""

    exit_status = 2


class MissingExtraError(ConfigError):
    """An optional package that is not installed."""


class DataError(MtlBenchError):
    """Data that is missing, damaged or not what it says it is."""

    exit_status = 2


class RecordError(MtlBenchError):
    """A run record or checkpoint that can't be read, written or continued."""

    exit_status = 2


class BusyError(RecordError):
    """A run record that another process is writing."""


class TrainingError(MtlBenchError):
    """A training that had to stop: non-finite numbers, a full disk, a solver that gave up."""


class NonFiniteError(TrainingError):
    """An update that can't be made from its numbers; ``trainer.on_nonfinite`` says what then.

    A loss, gradient, weight or diagnostic is NaN or infinite, or outside of what the method takes.

    Args:
        message: the number and whose it is.
        recoverable: whether training can go on without this update.

    Attributes:
        result: the update as far as it got, a ``StepResult``, once a trainer has caught it.
    """

    result: Any = None

    def __init__(self, message: str, recoverable: bool = True) -> None:
        super().__init__(message)
        self.recoverable = recoverable


class NoLabelsError(NonFiniteError):
    """An update whose batches have no labels of any task."""


class LostProcessError(TrainingError):
    """One of the processes that train together is gone, or hangs."""


class ExplodedError(TrainingError):
    """A loss above the bound from which a run is counted as exploded."""


class Interrupted(MtlBenchError):
    """A training that was asked to stop and can be continued."""

    exit_status = 75


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"mtl-bench: WARNING: {text}", file=sys.stderr)


def describe_refusal(error: OSError | MemoryError) -> str:
    """Return one line about what the system refused where no part of the program expected it."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): choose smaller sizes"
    where = f"{error.filename}: " if error.filename is not None else ""
    return where + (error.strerror or " ".join(str(error).split()))


def was_interrupted(error: BaseException | None) -> bool:
    """Tell whether a Ctrl-C is behind an error; what a library does on its way out can hide it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
