"""What `verify` finds odd in a data set, without being sure that it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SHOWN = 5
"""Frames that a warning names; the others are counted."""

NO_LABEL = "no pixel with a valid label"
NO_DEPTH = "no pixel with a valid depth"
NO_NORMAL = "no pixel with a valid normal"
NO_DISPARITY = "no pixel with a valid disparity"
MILLIMETRES = "depths that look like millimetres instead of metres"


def report_doubts(
    folder: Path, doubts: Mapping[str, Sequence[str]], report: Callable[[str], None]
) -> None:
    """Report each doubt once, with the frames that it is about.

    Args:
        folder: of the data set.
        doubts: what is odd -> names of the frames.
        report: gets the lines.
    """
    for doubt, frames in doubts.items():
        more = f" and {len(frames) - SHOWN} more" if len(frames) > SHOWN else ""
        count = f"{len(frames)} frame" + "s" * (len(frames) > 1)
        report(f"{folder}: {doubt} in {count}: {', '.join(frames[:SHOWN])}{more}")
