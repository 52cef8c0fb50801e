"""How much memory a run takes, in a process that may carry out several."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""

PROCESS = Path("/proc/self")
"""What Linux tells of this process."""

HIGHEST_RESIDENT = "5"
"""What clear_refs takes for: let the peak begin anew at what is resident now (proc(5))."""


def reuse_freed_memory() -> None:
    """Make glibc keep freed blocks instead of giving them back to the kernel.

    A training step frees and asks for the same large blocks over and over; fetching fresh pages
    for them costs a good part of a step's time on a CPU. Elsewhere than on glibc this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def forget_peak(device: torch.device) -> None:
    """Begin to look for the peak anew, so that it is no earlier run's of the same process.

    What earlier runs have freed goes back to the kernel first. Where the kernel keeps the peak to
    itself (elsewhere than on Linux, in some containers) it stays that of the whole process.
    """
    gc.collect()
    if device.type == "cuda":
        import torch  # commands that need no torch are measured, too

        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats(device)
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text(HIGHEST_RESIDENT)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of the GPU's allocated memory, or of the process's resident memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return resident_peak()


def resident_peak() -> int:
    """Return the most memory that this process has had resident, in bytes.

    From ``VmHWM`` where there is one, since what ``getrusage`` says of a process includes its
    parent at the fork, and never goes down.
    """
    with suppress(FileNotFoundError):
        for line in (PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
