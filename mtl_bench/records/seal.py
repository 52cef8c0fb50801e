"""DONE: when a run was finished, and the hashes of its files as they were then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mtl_bench.files import parse_json, sha256_of

SEAL = "DONE"
FILES = ("summary.json", "metrics.jsonl", "config.yaml", "environment.json")
"""What a table is made from, or would be made again with."""

_TIME_ALONE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n?")


def seal(record: Path, time: str) -> dict[str, Any]:
    """Return the contents of DONE.

    Args:
        record: folder of a run whose other files are all written.
        time: of its end.
    """
    return {"finished": time, "sha256": {name: _sha256(record / name) for name in FILES}}


def changed_files(record: Path) -> list[str]:
    """Return the files of a finished run that are not what DONE says, DONE itself included.

    Records that were finished before DONE held hashes, with a time alone in it, pass unchecked; see
    ``is_sealed``.
    """
    try:
        text = (record / SEAL).read_bytes()
        if _TIME_ALONE.fullmatch(text):
            return []
        hashes = parse_json(text)["sha256"]
        return [name for name in FILES if hashes[name] != _sha256(record / name)]
    except (ValueError, KeyError, TypeError):
        return [SEAL]


def is_sealed(record: Path) -> bool:
    """Return whether the DONE of a finished run holds hashes.

    Without them a later change of the record's files goes unnoticed.
    """
    return not _TIME_ALONE.fullmatch((record / SEAL).read_bytes())


def _sha256(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except (FileNotFoundError, IsADirectoryError):
        return None
