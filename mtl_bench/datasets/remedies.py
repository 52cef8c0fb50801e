"""Commands that messages tell a person to type."""

from __future__ import annotations

import shlex
from pathlib import Path


def data_words(action: str, dataset: str, folder: Path, *settings: str) -> str:
    """Return the command that does something to a data set where it is.

    >>> data_words("synth", "nyuv2", Path("data/nyuv2"))
    'mtl-bench data synth nyuv2'
    >>> data_words("prepare", "cityscapes", Path("/disk/cityscapes"), "decoded=true")
    'mtl-bench data prepare cityscapes decoded=true paths.data=/disk'

    Args:
        action: prepare, synth or verify.
        dataset: name of the data set.
        folder: its folder.
        settings: further words.
    """
    elsewhere = () if folder.parent == Path("data") else (f"paths.data={folder.parent}",)
    return shlex.join(["mtl-bench", "data", action, dataset, *settings, *elsewhere])
