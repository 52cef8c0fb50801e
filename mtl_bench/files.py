"""Files that are written whole or not at all, on file systems of every kind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mtl_bench.errors import MtlBenchError, UnwritableError, warn

UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""What file systems answer to a request that they don't know."""

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text, with all names and texts in it `printable`.

    Raises:
        ValueError: it is none.
    """
    return all_printable(json.loads(text))


def printable(text: str) -> str:
    r"""Return a text in one line, without characters that a terminal or a browser obeys.

    >>> print(printable("loss\x1b[2J\nof a\u202etask"))
    loss\x1b[2J of a\u202etask
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode()
        for c in text
    )


def all_printable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with all names and texts in it `printable`."""
    if isinstance(value, dict):
        return {all_printable(key): all_printable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [all_printable(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON file; OSError or ValueError if there is none."""
    return parse_json(path.read_bytes())


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - any YAML value of plain types
    """Return the value of a YAML file; tags of Python objects are refused.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file.
    """
    import yaml  # type: ignore[import-untyped]  # few commands pay for the import

    try:
        return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


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
            raise UnwritableError(
                f"can't write {path}: {error.strerror}; make the folder writable"
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
    """Make renames in ``folder`` survive a power cut; warn where the file system can't do it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        fault = f"folders can't be synced ({error.strerror})"
        _warn_once(folder, fault, "a power cut may undo what was written last")
    finally:
        os.close(descriptor)


def take_lock(file: int | IO[Any], operation: int, folder: Path, loss: str) -> bool:
    """Take a lock that ends with the process; return whether no other process holds it.

    Args:
        file: an open file.
        operation: of ``fcntl.flock``.
        folder: where the file is.
        loss: what is lost on a file system without locks, where a warning says so.
    """
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _warn_once(folder, f"the file system has no locks ({error.strerror})", loss)
    return True


_warned: set[tuple[int, str]] = set()


def _warn_once(folder: Path, fault: str, loss: str) -> None:
    """Print a warning unless it was printed of another folder on the same file system."""
    key = folder.stat().st_dev, fault
    if key not in _warned:
        _warned.add(key)
        warn(f"{folder}: {fault}: {loss}")


def is_clutter(path: Path) -> bool:
    """Tell whether a file is one that macOS or Windows leaves in the folders that it shows."""
    return path.name.startswith("._") or path.name in (".DS_Store", "Thumbs.db")


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
