"""Processes of the command line, forked from one that has imported what they need.

An interpreter takes seconds to import torch, and the tests start hundreds. The process that forks
has done nothing but import, so that its children differ from new interpreters by that alone. What
is imported when, and what hashes strings in another order, is tested with new ones.
"""

import atexit
import gc
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TextIO

IMPORTED = (
    *("mtl_bench.cli", "mtl_bench.launch.sweep", "mtl_bench.training.trainer"),
    *("mtl_bench.config.build", "mtl_bench.records.writer", "mtl_bench.reporting.tables"),
    *("mtl_bench.algorithms.supervised", "mtl_bench.training.run", "mtl_bench.methods.nashmtl"),
    *("torch._dynamo", "torch._inductor.config", "torch.utils.data", "pyarrow.parquet", "pandas"),
)
"""What a training imports."""

MOST_BYTES = 1 << 17
"""Of a request."""


@dataclass(frozen=True)
class Request:
    """What to run: the words after the program's name, and what is called in its process first."""

    words: tuple[str, ...]
    cwd: str
    environment: dict[str, str]
    changes: tuple[Callable[[], None], ...]


class Forked:
    """A forked process, with the part of ``subprocess.Popen``'s interface that is used here."""

    def __init__(self, request: Request) -> None:
        out, err, told = os.pipe(), os.pipe(), os.pipe()
        theirs = (out[1], err[1], told[1])
        socket.send_fds(server(), [pickle.dumps(request)], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self.stdout = os.fdopen(out[0], encoding="utf-8")
        self.stderr = os.fdopen(err[0], encoding="utf-8")
        self.returncode: int | None = None
        self._told = os.fdopen(told[0], encoding="utf-8")
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Return the status of a process that has ended."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            with self._told:
                self.returncode = int(self._told.readline())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the status."""
        if self.returncode is None and not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what is left of standard output and standard error, and wait for the end."""
        end = None if timeout is None else time.monotonic() + timeout
        texts = ["", ""]

        def read(i: int, stream: TextIO) -> None:
            texts[i] = stream.read()

        readers = [
            threading.Thread(target=read, args=(i, stream), daemon=True)
            for i, stream in enumerate((self.stdout, self.stderr))
            if not stream.closed
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if end is None else max(0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        self.wait(None if end is None else max(0, end - time.monotonic()))
        self.stdout.close()
        self.stderr.close()
        return texts[0], texts[1]


@cache
def server() -> socket.socket:
    """Start the process that forks, and return the socket for requests; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # first, as its end of requests
    return ours


def serve(channel: socket.socket) -> Request | None:
    """Fork for every request; return it in the new process, and None at the end of requests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who keep an eye
    while True:
        data, descriptors, *_ = socket.recv_fds(channel, MOST_BYTES, 3)
        if not data:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            return keep_an_eye(pickle.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def keep_an_eye(request: Request, descriptors: list[int]) -> Request:
    """Fork, and tell number and status of the new process, where the request is returned."""
    out, err, told = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(told)
        become(request, out, err)
        return request
    os.close(out)
    os.close(err)
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(request: Request, out: int, err: int) -> None:
    """Make this process what ``python -m mtl_bench`` with the request's words would be."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # those of the import may be of a file, where a pipe can't seek
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    paths = request.environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [request.cwd, *filter(None, paths), *sys.path[1:]]
    sys.argv = ["mtl-bench", *request.words]
    for change in request.changes:
        change()


def run() -> int:
    """Run the command line and return its status."""
    try:
        runpy.run_module("mtl_bench", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # as an interpreter does
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Import, fork, and run the command line in the processes that come of it."""
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # what is collected is copied first
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        request = serve(channel)
    if request:
        status = run()
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)  # to take all modules apart would copy them first


if __name__ == "__main__":
    main()
