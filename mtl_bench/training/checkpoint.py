"""Checkpoints: atomic, checked when read, with the previous one kept."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from mtl_bench.errors import MtlBenchError, RecordError
from mtl_bench.files import explain_write_errors, write_atomically
from mtl_bench.runtime.explain import means_no_memory

FORMAT = 3
"""Version of the checkpoint's layout."""

LAST, PREVIOUS = "last.pt", "previous.pt"

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, EOFError),
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError),
)
"""What zipfile, torch and json raise for bytes that are no checkpoint."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        config: the run's configuration, to explain a mismatch.
        digest: its hash.
    """

    folder: Path
    config: dict[str, Any]
    digest: str

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; the one before stays as the fallback.

        Args:
            state: tensors, primitives and containers of them.
        """
        last = self.folder / LAST
        config = json.dumps(self.config)
        content = {"format": FORMAT, "hash": self.digest, "config": config, "state": state}
        buffer = io.BytesIO()  # writing to a file, torch hides the errno of a full disk
        torch.save(content, buffer)
        if last.exists():
            _keep(last, self.folder / PREVIOUS)
        write_atomically(last, lambda stream: stream.write(buffer.getbuffer()))

    def load(
        self,
        report: Callable[[str], None] = print,
        damaged: Callable[[dict[str, Any]], list[str]] = lambda state: [],
    ) -> dict[str, Any] | None:
        """Return the state of the newest whole checkpoint of a run whose lock is held.

        A checkpoint is whole if ``damaged`` finds none of the files that its state names.

        If that is the previous one it takes the damaged one's place, so that the next save keeps
        it, not the damage, as its fallback.

        Raises:
            RecordError, MtlBenchError: as `peek`.
        """
        state, path = self._newest(report, damaged)
        if path is not None and path.name != LAST:
            path.replace(self.folder / LAST)
        return state

    def peek(self, report: Callable[[str], None] = print) -> dict[str, Any] | None:
        """Return the state of the newest whole checkpoint, or None if there is none at all.

        No file is changed, so that a run which is being trained may be looked at.

        Raises:
            RecordError: every checkpoint is damaged, or it belongs to another configuration.
            MtlBenchError: the system can't read one or has no memory for it, which says nothing
                of it.
        """
        return self._newest(report)[0]

    def _newest(
        self,
        report: Callable[[str], None],
        damaged: Callable[[dict[str, Any]], list[str]] = lambda state: [],
    ) -> tuple[dict[str, Any] | None, Path | None]:
        """Return the state of the newest whole checkpoint, and its file."""
        faults = []
        for path in (self.folder / LAST, self.folder / PREVIOUS):
            if not path.exists():
                continue
            try:
                content = read_checkpoint(path)
            except DAMAGE as error:
                faults.append(
                    f"{path} is damaged ({type(error).__name__}: {error})".splitlines()[0]
                )
                continue
            if content["format"] != FORMAT:
                raise RecordError(
                    f"{path} has checkpoint format {content['format']}, this version reads "
                    f"{FORMAT}: finish the run with the version that began it, or move its folder "
                    "away"
                )
            if content["hash"] != self.digest:
                changes = "; ".join(_differences(json.loads(content["config"]), self.config))
                raise RecordError(
                    f"{path} belongs to another configuration ({changes or 'an older version'}): "
                    "move the folder away or give the command that began it"
                )
            with explain_misfit(self.folder.parent):
                parts = damaged(content["state"])
            if parts:
                faults.append(f"{self.folder / parts[0]}, which {path} needs, is damaged or gone")
                continue
            if faults:
                report(f"{faults[0]}; going on from {path.name}")
            return content["state"], path
        if faults:
            raise RecordError(
                "; ".join(faults)
                + f": no checkpoint is left, move {self.folder.parent} away to start anew"
            )
        return None, None


def _keep(last: Path, previous: Path) -> None:
    """Give a checkpoint a second name in place of the one before, or copy it there."""
    link = previous.with_name(f".{PREVIOUS}.{os.getpid()}.tmp")
    with explain_write_errors(last):
        link.unlink(missing_ok=True)
        try:
            os.link(last, link)
        except OSError:  # of file systems without hard links; another reason stops the copy too
            with last.open("rb") as source:
                write_atomically(previous, lambda stream: shutil.copyfileobj(source, stream))
        else:
            link.replace(previous)


def require_same_data(record: Path, before: dict[str, str], now: dict[str, str]) -> None:
    """Compare the origin of the data that a run began on with that of the present ones.

    Where the data lie is no part of a run's hash, so the same command can meet others.

    Raises:
        RecordError: they differ.
    """
    if before != now and now["kind"] == "simulated":
        raise RecordError(
            f"{record} was begun on {before['source']}, and this is {now['source']}: install the "
            "former, or move the folder away to start anew"
        )
    if before != now:
        old, new = (
            f"{data['kind']}, {data['source']}, manifest {data['manifest'][:8]}"
            for data in (before, now)
        )
        raise RecordError(
            f"{record} was begun on other data ({old}) than these ({new}): give paths.data=DIR "
            "with the former, or move the folder away to start anew"
        )


@contextmanager
def explain_misfit(record: Path) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint's state is restored into one line.

    Raises:
        RecordError: a part is missing or of another network, which no writer of this program left.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        if means_no_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecordError(
            f"the checkpoint in {record} does not fit the run ({type(error).__name__}: {reason}): "
            "move the folder away to start anew"
        ) from error


@contextmanager
def restoring(record: Path, state: dict[str, Any], origin: dict[str, str]) -> Iterator[None]:
    """Compare the data, then explain what goes wrong in the block that restores ``state``.

    Raises:
        RecordError: see `require_same_data` and `explain_misfit`.
    """
    with explain_misfit(record):
        require_same_data(record, state["data"], origin)
        yield


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return format, hash, config and state of one checkpoint file.

    Raises:
        Exception: one of ``DAMAGE``; the file is damaged.
        MtlBenchError: the system can't read it or has no memory for it, which says nothing of it.
    """
    with _explain_refusals(path), path.open("rb") as stream:
        while stream.read(1 << 20):  # zipfile would take an error of the disk for a bad format
            pass
        stream.seek(0)
        return _read(stream)


def _read(stream: IO[bytes]) -> dict[str, Any]:
    """Return what an open file holds; raises one of ``DAMAGE`` where that is no checkpoint."""
    with zipfile.ZipFile(stream) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged} is wrong")
    stream.seek(0)
    content: dict[str, Any] = torch.load(stream, map_location="cpu", weights_only=True)
    if missing := {"format", "hash", "config", "state"}.difference(content):
        raise ValueError(f"it lacks {missing.pop()}")
    if not isinstance(content["state"], dict):
        raise TypeError("its state is no dictionary")
    json.loads(content["config"])
    return content


@contextmanager
def _explain_refusals(path: Path) -> Iterator[None]:
    """Tell what the system refuses while a checkpoint is read from what is wrong with the file.

    Raises:
        MtlBenchError: the system is at fault.
    """
    remedy = "nothing was changed; fix this, and the same command continues from it"
    try:
        yield
    except Exception as error:
        if means_no_memory(error):
            text = " ".join(str(error).split())[:200] or type(error).__name__
            raise MtlBenchError(f"out of memory while reading {path} ({text}): {remedy}") from error
        if isinstance(error, OSError) and error.errno == errno.EINVAL:  # a place before the start
            raise zipfile.BadZipFile(str(error)) from error
        if isinstance(error, OSError):
            raise MtlBenchError(
                f"can't read {path} ({error.strerror or error}): {remedy}"
            ) from error
        raise


def _differences(before: Any, after: Any, key: str = "") -> list[str]:  # noqa: ANN401
    """Return "key: old -> new" for every leaf that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(before.keys() | after.keys())
        return [
            difference
            for name in names
            for difference in _differences(
                before.get(name), after.get(name), f"{key}.{name}" if key else name
            )
        ]
    return [] if before == after else [f"{key}: {before} -> {after}"]
