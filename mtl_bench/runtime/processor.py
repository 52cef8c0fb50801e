"""How long a process has had to wait for the processor."""

from __future__ import annotations

import math
from pathlib import Path

SCHEDULER = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds ready and without one, turns; of the calling thread."""


def time_without_core() -> float:
    """Return for how long this thread has been ready to run while others had all cores.

    NaN where the system doesn't tell.
    """
    try:
        return int(SCHEDULER.read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return math.nan
