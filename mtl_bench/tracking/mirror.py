"""The trainer's side of a dashboard: it starts another process and never waits for it.

A process of its own, because nothing of a dashboard may reach the training: its package may draw
from the global random generators, block when a network is down, and hook into signals and exits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self

from mtl_bench.advice import command
from mtl_bench.tracking.dashboard import KINDS, DashboardKind

SECONDS = {"offline": 60.0, "online": 6.0}
"""How long the end of a run waits for the rest of the work: on a disk, on a network."""


class Mirror:
    """Shows a record on a dashboard beside the training.

    Whatever goes wrong is one line for a person, after which the dashboard is off.

    Args:
        kind: the dashboard, None for none.
        seconds: how long to wait at the end.
        record: the run's folder.
        say: shows a line to a person.
        later: the command that sends what didn't get there in its time, if there is one.
    """

    def __init__(
        self,
        kind: DashboardKind | None,
        seconds: float,
        record: Path,
        say: Callable[[str], object],
        later: str | None = None,
    ) -> None:
        self._kind, self._seconds, self._record, self._say = kind, seconds, record, say
        self._later = f"; `{later}` sends it later" if later else ""
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, epochs: int, step: int) -> None:
        """Say that the record is written up to these many epochs and updates; never waits.

        The first call starts the other process.
        """
        if self._kind is None:
            return
        try:
            self._worker = self._worker or _Worker(self._record)
        except OSError as error:
            self._switch_off(str(error))
            return
        if self._worker.ended:
            self._switch_off(self._worker.close(0))
        else:
            self._worker.write(f"{epochs} {step}\n")

    def close(self) -> None:
        """Let the other process do the rest, for some seconds at most."""
        if self._worker is not None and (reason := self._worker.close(self._seconds)):
            self._switch_off(reason)
        self._worker = None

    def _switch_off(self, reason: str | None) -> None:
        assert self._kind is not None
        self._say(
            f"{self._kind.title} is off: {reason or 'its process ended too early'}; the record is "
            f"whole without it{self._later}"
        )
        self._kind = self._worker = None


class _Worker:
    """The other process.

    Raises:
        OSError: it can't be started.
    """

    def __init__(self, record: Path) -> None:
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mtl_bench.tracking.worker", str(record)],
                stdin=subprocess.PIPE,
                stdout=self._words,
                stderr=self._words,
                start_new_session=True,  # a terminal's Ctrl-C is for the training
            )
        except OSError:
            self._words.close()
            raise
        assert self._process.stdin is not None
        self._input = self._process.stdin
        os.set_blocking(self._input.fileno(), False)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def write(self, line: str) -> None:
        """Write a line unless the process lags far behind, where a later line says it and more."""
        with contextlib.suppress(OSError):  # full, or broken: then `ended` will be true
            os.write(self._input.fileno(), line.encode())

    def close(self, seconds: float) -> str | None:
        """End the input, wait, and return what went wrong."""
        try:
            self._input.close()
            status = self._process.wait(seconds)
            return None if status == 0 else self._last_words()
        except subprocess.TimeoutExpired:
            return f"it wasn't ready {seconds:.0f} s after the end of the run"
        finally:
            if not self.ended:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._words.close()

    def _last_words(self) -> str | None:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), None)


def make_mirror(logger: dict[str, Any], record: Path, say: Callable[[str], object]) -> Mirror:
    """Return the mirror that a ``logger`` section asks for."""
    seconds = SECONDS[logger.get("mode", "offline")]
    later = _sync_command(logger, record) if logger["name"] == "wandb" else None
    return Mirror(KINDS.get(logger["name"]), seconds, record, say, later)


def _sync_command(logger: dict[str, Any], record: Path) -> str:
    """Return the command that sends a record where it would have gone in its time."""
    profile, dataset, label = record.parts[-4:-1]
    place = {"profile": profile, "dataset": dataset, "method": label}
    chosen = {key: logger[key] for key in ("mode", "project", "entity", "group", "every")}
    return command("wandb", "sync", **place, **chosen, paths__results=record.parents[3])
