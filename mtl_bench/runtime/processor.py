"""The processor, in words."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

INFO = Path("/proc/cpuinfo")
L2 = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")


def processor_name() -> str:
    """Return the processor as Linux knows it: name, family, L2; torch's vectors and threads."""
    fields = dict(re.findall(r"^(model name|cpu family)\s*: (.*)$", _read(INFO), re.MULTILINE))
    words = [fields.get("model name", platform.processor() or platform.machine())]
    if "cpu family" in fields:
        words.append(f"family {fields['cpu family']}")
    if size := _read(L2).strip():
        words.append(f"{size} of L2")
    words += [torch.backends.cpu.get_cpu_capability(), f"{torch.get_num_threads()} threads"]
    return ", ".join(words)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
