"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mtl_bench.errors import MtlBenchError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a write below ``path`` into one line with its remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise MtlBenchError(
                f"disk full while writing {path}: {error.strerror}; what was there before is "
                "intact: free some space and give the same command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise MtlBenchError(
                f"can't write {path}: {error.strerror}; make the folder writable or move it with "
                "paths.results=DIR or paths.data=DIR"
            ) from error
        raise


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, then move it there.

    The data is on the disk before the name changes, so that after a crash the name stands for
    either the old file or the complete new one.

    Raises:
        MtlBenchError: the disk is full or the folder can't be written; ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explain_write_errors(path):
        try:
            with temporary.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write strict JSON (no NaN, no Infinity) whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
