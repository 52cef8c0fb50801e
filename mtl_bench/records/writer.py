"""The run record while it is being written.

``results/<profile>/<dataset>/<method>[-<variant>]/seed<k>-<hash8>/`` holds config.yaml,
environment.json, metrics.jsonl, steps/, checkpoint/, summary.json and, last of all, DONE or
FAILED.json. Everything but metrics.jsonl is written whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

from mtl_bench.errors import BusyError, MtlBenchError, RecordError
from mtl_bench.files import explain_write_errors, read_json, take_lock, write_json, write_text
from mtl_bench.records.environment import with_process
from mtl_bench.records.seal import SEAL, seal

FORMAT = 1
"""Version of the record's layout."""

LOCK_TRIES = 10

_held: WeakSet[IO[str]] = WeakSet()


def record_path(config: dict[str, Any], digest: str) -> Path:
    """Return the folder of a run; it depends on nothing but its resolved configuration."""
    label = config["method"]["name"]
    if config["variant"]:
        label += f"-{config['variant']}"
    return (
        Path(config["paths"]["results"])
        / config["profile"]["name"]
        / config["dataset"]["name"]
        / label
        / f"seed{config['seed']}-{digest}"
    )


class RunRecord:
    """Writes the record of one run; a context manager that holds its lock.

    Args:
        path: the record's folder, made if it is missing.

    Raises:
        BusyError: another process is writing this record.
        RecordError: it holds links, through which files elsewhere would be written.
        MtlBenchError: the folder can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoint"
        self.steps = path / "steps"
        self._lock: IO[str] | None = None
        self._begun = False

    def __enter__(self) -> RunRecord:
        if link := next((path for path in self.path.rglob("*") if path.is_symlink()), None):
            raise RecordError(f"{link} is a link, records have none: move {self.path} away")
        with explain_write_errors(self.path):
            for folder in (self.path, self.checkpoints, self.steps):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+", encoding="utf-8")
        if not _acquire(self._lock, self.path):
            self._lock.seek(0)
            holder = self._lock.read() or "unknown"
            self._lock.close()
            raise BusyError(f"{self.path} is being written by another process: {holder}")
        _held.add(self._lock)
        self._lock.truncate(0)
        self._lock.write(
            json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()})
        )
        self._lock.flush()
        for leftover in self.path.rglob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def begin(
        self, config: dict[str, Any], environment: dict[str, Any], *, resumed: bool = False
    ) -> None:
        """Write what the run is and where it runs; forget an earlier failure, or a broken end.

        Args:
            config: of the run.
            environment: of this process.
            resumed: whether it goes on where another process stopped; see `environment`.
        """
        import yaml  # type: ignore[import-untyped]

        path = self.path / "environment.json"
        self._begun = True
        (self.path / SEAL).unlink(missing_ok=True)
        write_text(
            self.path / "config.yaml", yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
        )
        write_json(path, with_process(path, environment) if resumed else environment)
        (self.path / "FAILED.json").unlink(missing_ok=True)

    def keep_epochs(self, history: list[dict[str, Any]]) -> None:
        """Make metrics.jsonl hold exactly these epochs, as a resumed run needs it."""
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in history)
        write_text(self.path / "metrics.jsonl", text)

    def append_epoch(self, line: dict[str, Any]) -> None:
        """Add one epoch's line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        with explain_write_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def finish(self, summary: dict[str, Any]) -> None:
        """Write summary.json, then DONE."""
        write_json(self.path / "summary.json", summary)
        write_json(self.path / SEAL, seal(self.path, now()))

    def fail(self, error: str, details: dict[str, Any]) -> None:
        """Write FAILED.json, with NaN and infinities as words; without room for it, do nothing.

        The error that it tells of is raised all the same, and says more than a full disk. What
        stops an attempt before `begin` leaves a report of an update, which is still to be replayed.
        """
        if not self._begun and self._tells_of_update():
            return
        content = spell_out({"error": error, "time": now(), **details})
        with suppress(MtlBenchError):
            write_json(self.path / "FAILED.json", content)

    def _tells_of_update(self) -> bool:
        try:
            return "update" in read_json(self.path / "FAILED.json")
        except (OSError, ValueError, TypeError):
            return False


def spell_out(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with "nan", "inf" and "-inf" in place of floats that JSON doesn't have."""
    if isinstance(value, dict):
        return {key: spell_out(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [spell_out(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _acquire(lock: IO[str], record: Path) -> bool:
    """Take the lock; wait out a reader, which holds it for microseconds to see whether it is free.

    The kernel drops the lock when the process dies, so none is ever stale; see ``_let_go``.
    """
    loss = "two processes may train this run at once and spoil its record"
    for _ in range(LOCK_TRIES):
        if take_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, record, loss):
            return True
        time.sleep(0.05)
    return False


def _let_go() -> None:
    """Close the locks in a forked process, which would hold them for as long as it lives.

    A loader's workers outlive a training that is killed by some seconds.
    """
    for lock in _held:
        lock.close()


os.register_at_fork(after_in_child=_let_go)


def now() -> str:
    """Return the present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
