"""The command line in processes of its own."""

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    **{"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    "CUDA_VISIBLE_DEVICES": "",  # they compare bits of what they train
}
PROGRAM = (sys.executable, "-m", "mtl_bench")


def make_desk(factory, data):
    """Return a folder to type commands in, whose data folder is ``data``."""
    folder = factory.mktemp("desk")
    (folder / "data").symlink_to(data)
    return folder


def bound_by_permissions():
    """Take root's right to write anywhere from the process that follows; others lack it."""
    drop, override = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop, override, 0, 0, 0) != 0:
        raise PermissionError


def call(*words, cwd, file_size_kib=None, environment=ENVIRONMENT, before=None, timeout=240):
    """Run a command to its end; ``before`` is called in its process."""
    program = [*PROGRAM, *map(str, words)]
    if file_size_kib is not None:
        program = ["bash", "-c", f'ulimit -f {file_size_kib}; exec "$@"', "_", *program]
    return subprocess.run(
        program,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=before,
    )


def call_without(modules, *words, cwd, environment=ENVIRONMENT):
    """Run a command and fail if it imports one of these modules; the last line is the status."""
    code = (
        "import sys\n"
        "from mtl_bench.cli import main\n"
        "try:\n    status = main(sys.argv[1:])\n"
        "except SystemExit as leave:\n    status = leave.code\n"
        f"print([m for m in {list(modules)!r} if m in sys.modules], status)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def start(*words, cwd, environment=ENVIRONMENT):
    """Begin a command."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epochs(process, folder, epochs, pattern="metrics.jsonl"):
    """Wait until a record below ``folder`` has that many epochs, and return the record."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for path in folder.rglob(pattern):
            if path.read_bytes().count(b"\n") >= epochs:
                return path.parent
        time.sleep(0.02)
    raise AssertionError(f"no {epochs} epochs in {folder}")


def end_of(process, send=None):
    """Send a signal, wait for the end, and return standard error."""
    if send is not None:
        process.send_signal(send)
    try:
        return process.communicate(timeout=60)[1]
    finally:
        process.kill()


def metrics_of(record):
    """Return the lines of metrics.jsonl without their times."""
    lines = [json.loads(line) for line in (record / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def results_of(record):
    """Return everything of a finished record that a repetition must give again, bit for bit."""
    from tests.training.runs import read_steps

    summary = json.loads((record / "summary.json").read_text())
    for key in ("seconds", "peak_memory_bytes"):
        del summary[key]
    return summary, metrics_of(record), read_steps(record / "steps")
