"""The command line in processes of its own."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.end_to_end.forks import Forked, Request

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    **{"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    "CUDA_VISIBLE_DEVICES": "",  # they compare bits of what they train
}


def make_desk(factory, data):
    """Return a folder to type commands in, whose data folder is ``data``."""
    folder = factory.mktemp("desk")
    (folder / "data").symlink_to(data)
    return folder


def bound_by_permissions():
    """Take root's right to write anywhere from this process; others lack it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    override = 1 << 1  # CAP_DAC_OVERRIDE
    failed = libc.capget(header, data)
    data[0] &= ~override
    data[1] &= ~override
    if failed or libc.capset(header, data):
        raise PermissionError(ctypes.get_errno(), "capset")


def limit_files(kib):
    """Let no file of the process that follows grow beyond this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024))


def call(*words, cwd, file_size_kib=None, environment=ENVIRONMENT, before=None, timeout=240):
    """Run a command to its end; ``before`` is called in its process."""
    changes = [before] if before else []
    if file_size_kib is not None:
        changes.append(partial(limit_files, file_size_kib))
    process = start(*words, cwd=cwd, environment=environment, changes=changes)
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


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


def start(*words, cwd, environment=ENVIRONMENT, changes=()):
    """Begin a command; ``changes`` are called in its process."""
    return Forked(Request(tuple(map(str, words)), str(cwd), environment, tuple(changes)))


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
