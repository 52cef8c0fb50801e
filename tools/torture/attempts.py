"""The command of one run, started over and over, and how each time ended."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple, get_args

TIMEOUT_S = 400
TRACEBACK = "Traceback (most recent call last)"
EARLY = 0.1
"""Share of the faults that may strike before the program has opened its record."""
NEUTRAL = {
    "trainer.workers": ("0", "2"),
    "trainer.checkpoint_minutes": ("10", "0.001"),
    "trainer.determinism": ("off", "warn", "strict"),
}
"""Settings that must not change a number; every attempt draws its own."""

Kind = Literal["finished", "stopped", "refused", "killed", "unclear"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class End(NamedTuple):
    """How an attempt ended.

    Args:
        kind: ``finished``; ``stopped``, to be continued; ``refused``, with one line that says why;
            ``killed``, without a last word; ``unclear``, with a traceback or an unknown status.
        text: what it wrote to standard error.
    """

    kind: Kind
    text: str


@dataclass
class Story:
    """One run, tried over and over.

    Args:
        words: of the command, without the folders.
        data: prepared data, the story's own.
        results: where the record goes.
        seconds: that an undisturbed run takes from its first file on.
        random: decides when and where faults strike.
    """

    words: tuple[str, ...]
    data: Path
    results: Path
    seconds: float
    random: Random

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return dict(word.split("=", 1) for word in self.words)["dataset"]

    @property
    def record(self) -> Path | None:
        """The record, once there is one."""
        return next(self.results.glob("*/*/*/seed*-*"), None)

    def attempt(
        self,
        strike: Callable[[subprocess.Popen[str]], object] | None = None,
        limit_bytes: int | None = None,
        more: tuple[str, ...] = (),
        neutral: bool = True,
    ) -> End:
        """Run the command to its end, however it comes.

        Args:
            strike: what happens to the process at a random moment.
            limit_bytes: no file can grow beyond it.
            more: settings of this attempt, in place of those that are drawn.
            neutral: draw settings that must not change a number.
        """
        drawn = {key: self.random.choice(values) for key, values in NEUTRAL.items()}
        drawn |= dict(setting.split("=", 1) for setting in more)
        words = [f"{key}={value}" for key, value in drawn.items()] if neutral else []
        process = self.start(*words, limit_bytes=limit_bytes)
        try:
            if strike is not None:
                self.wait(process)
                if process.poll() is None:
                    strike(process)
            text = process.communicate(timeout=TIMEOUT_S)[1]
        except subprocess.TimeoutExpired:
            return End("unclear", f"it hangs for {TIMEOUT_S} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return judge(process.returncode, text)

    def start(self, *more: str, limit_bytes: int | None = None) -> subprocess.Popen[str]:
        """Begin the command in a group of processes of its own."""
        program = [sys.executable, "-m", "mtl_bench", "train", *self.words, *more]
        program += [f"paths.data={self.data}", f"paths.results={self.results}"]

        def limit() -> None:
            if limit_bytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        return subprocess.Popen(
            program,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def wait(self, process: subprocess.Popen[str]) -> None:
        """Wait for a random moment: mostly after the record was opened, at times before."""
        begun, patience = time.time(), math.inf
        if self.random.random() < EARLY:
            patience = self.random.uniform(0, 2)
        while process.poll() is None and time.time() - begun < patience and not self.opened(begun):
            time.sleep(0.01)
        end = time.monotonic() + self.random.uniform(0, self.seconds)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def opened(self, since: float) -> bool:
        """Tell whether a process has taken the record's lock since then."""
        lock = self.record and self.record / ".lock"
        return lock is not None and lock.exists() and lock.stat().st_mtime >= since


def judge(status: int, text: str) -> End:
    """Return how a process ended, from its status and its standard error; warnings don't count."""
    lines = text.strip().splitlines()
    if status == 0:
        return End("finished", text)
    if status < 0 or (lines and lines[-1] == "KeyboardInterrupt"):
        return End("killed", text)  # also a Ctrl-C before the program itself has begun
    told = [line for line in lines if line.startswith("mtl-bench: ") and "WARNING" not in line]
    if len(told) == 1 and lines[-1] == told[0] and TRACEBACK not in text and status in (1, 2, 75):
        return End("stopped" if status == 75 else "refused", text)
    return End("unclear", f"status {status}\n{text}")
