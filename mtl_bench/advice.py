"""The commands that messages advise: complete, and quoted for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from mtl_bench.words import PLAIN_PATH

FOLDERS = {"paths.data": "data", "paths.results": "results"}
"""Settings that a command needs where they are other than these."""


def command(*words: str, **settings: object) -> str:
    """Return a command that a shell and then every command of this program read as it is meant.

    >>> print(command("status", profile="mini", paths__results=Path("results")))
    mtl-bench status profile=mini
    >>> print(command("tables", paths__results="a, b"))
    mtl-bench tables 'paths.results="a, b"'

    Args:
        words: what comes before the settings, as it is read.
        settings: key -> value; None is left out, and so is a folder that is the usual one. Two
            underscores in a key stand for a dot.
    """
    pairs = [(key.replace("__", "."), value) for key, value in settings.items()]
    chosen = [
        setting(key, value)
        for key, value in pairs
        if value is not None and FOLDERS.get(key) != str(value)
    ]
    return shlex.join(["mtl-bench", *words, *chosen])


def setting(key: str, value: object) -> str:
    """Return KEY=VALUE in the grammar of overrides, which all commands read."""
    return f"{key}={_literal(value)}"


def _literal(value: object) -> str:
    """Return a plain value, or a path, in the grammar of overrides.

    Texts are quoted where a plain word would be read as something else. In quotes, backslashes
    count before a quote, at the end, and before the ``${`` of an interpolation, which one keeps
    from being one.
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_literal(k)}:{_literal(v)}' for k, v in value.items())}}}"
    text = str(value)
    if isinstance(value, int | float) or PLAIN_PATH.fullmatch(text):
        return text
    for end in (r"\$\{", '"', r"\Z"):
        text = re.sub(rf"(\\*)({end})", _escape, text)
    return f'"{text}"'


def _escape(found: re.Match[str]) -> str:
    backslashes, end = found.groups()
    return 2 * backslashes + "\\" * bool(end) + end


def data_command(action: str, dataset: str, folder: Path, **settings: object) -> str:
    """Return the command that does something to a data set where it is.

    >>> data_command("prepare", "cityscapes", Path("/disk/cityscapes"), decoded=True)
    'mtl-bench data prepare cityscapes decoded=true paths.data=/disk'

    Args:
        action: prepare, synth or verify.
        dataset: name of the data set.
        folder: its folder.
        settings: of the action.
    """
    return command("data", action, dataset, **settings, paths__data=folder.parent)
