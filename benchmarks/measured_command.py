"""A command of mtl-bench in a process of its own, which tells what it took.

``python -m benchmarks.measured_command COMMAND ...`` prints JSON in its last line: the CPU seconds
of the process from its start on, and the most memory that it has had resident.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from mtl_bench.cli import main
from mtl_bench.errors import MtlBenchError
from mtl_bench.runtime.memory import resident_peak


def measure_command(words: Sequence[str]) -> dict[str, float]:
    """Return what a command takes: ``cpu_seconds`` and ``peak_bytes``.

    Raises:
        MtlBenchError: the command failed.
    """
    command = [sys.executable, "-m", "benchmarks.measured_command", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MtlBenchError(f"mtl-bench {' '.join(words)}: {done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    status = main(sys.argv[1:])
    print(json.dumps({"cpu_seconds": time.process_time(), "peak_bytes": resident_peak()}))
    sys.exit(status)
