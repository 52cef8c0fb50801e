"""Downloads that can be continued, and extraction of named archive members."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from pathlib import Path

from mtl_bench.errors import DataError
from mtl_bench.files import explain_write_errors, sha256_of, sync_folder, write_atomically

CHUNK_BYTES = 1 << 20
ATTEMPTS = 3
TIMEOUT_S = 60


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Fetch ``url`` into ``target``, going on from what an earlier call left in TARGET.part.

    Args:
        url: where to fetch from.
        target: where the complete, checked file goes; its folder is made if needed.
        sha256: the known hash, or None where nobody publishes one.
        report: gets one line at the start of each attempt.

    Raises:
        DataError: the network failed (the part stays for the next call), or the file has another
            hash (the part is removed).
        MtlBenchError: the disk is full or can't be written.
    """
    part = target.with_name(f"{target.name}.part")
    with explain_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        report(f"downloading {url} (attempt {attempt} of {ATTEMPTS})")
        try:
            _transfer(url, part)
            break
        except (OSError, HTTPException) as error:
            failure = error
    else:
        raise DataError(
            f"can't download {url}: {failure}; give the same command again to go on, or fetch the "
            f"file by other means and put it at {target}"
        ) from failure
    found = sha256_of(part)
    if sha256 is not None and found != sha256:
        part.unlink()
        raise DataError(
            f"{url} gave a file with SHA-256 {found}, expected {sha256}: give the same command "
            f"again, or put the right file at {target}"
        )
    part.replace(target)
    sync_folder(target.parent)


def extract_members(archive: Path, names: Iterable[str], folder: Path) -> None:
    """Take the named members, and nothing else, out of a zip archive.

    Args:
        archive: the zip file.
        names: of the members, plain file names.
        folder: each member is written to FOLDER/NAME whole or not at all.

    Raises:
        DataError: the archive is damaged or lacks a member.
        MtlBenchError: the disk is full or can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in names:
                with opened.open(name) as member:
                    write_atomically(folder / name, partial(shutil.copyfileobj, member))
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise DataError(
            f"{archive} is not the expected archive ({error}): delete it and give the same command "
            "again"
        ) from error


def _transfer(url: str, part: Path) -> None:
    """Fetch what is missing from ``part``; OSError or HTTPException where the network fails."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # Already longer than the file: begin anew at the next attempt.
        raise
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            start = 0  # The server sends the whole file.
        length = response.headers.get("Content-Length")
        with explain_write_errors(part), part.open("ab" if start else "wb") as stream:
            shutil.copyfileobj(response, stream, CHUNK_BYTES)
            stream.flush()
            os.fsync(stream.fileno())
    if length is not None and part.stat().st_size != start + int(length):
        raise IncompleteRead(b"", start + int(length) - part.stat().st_size)
