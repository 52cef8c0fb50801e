"""The process that shows a run on a dashboard while another one trains it.

``python -m mtl_bench.tracking.worker RECORD`` reads ``EPOCHS STEP`` lines from standard input, each
a point at which the whole record was written, and ends when the input does. On failure its last
line of standard error says why.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from mtl_bench.tracking.dashboard import make_dashboard, read_run, show


def main(record: Path) -> None:
    """Show the record until the training has ended."""
    # a cluster sends these to all processes, and this one has to end after the training
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        logger = read_run(record).config["logger"]
        show(record, make_dashboard(logger), logger["every"], _points())
    except Exception as error:
        words = [type(error).__name__, *str(error).strip().splitlines()[:1]]
        print(": ".join(words), file=sys.stderr, flush=True)
        os._exit(1)  # without the packages' own clearing up, which may wait for a network


def _points() -> Iterator[tuple[float, float]]:
    for line in sys.stdin:
        epochs, step = map(int, line.split())
        yield epochs, step


if __name__ == "__main__":
    main(Path(sys.argv[1]))
