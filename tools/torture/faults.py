"""The faults. Each one is an attempt of the story that something happens to."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from tools.torture.attempts import End, Story

Fault = Callable[[Story], End]


def send(number: signal.Signals, story: Story, *, group: bool = False) -> End:
    """Send a signal to the training, or to it and its loader's workers."""
    return story.attempt(lambda p: (os.killpg if group else os.kill)(p.pid, number))


def kill_a_worker(story: Story) -> End:
    """Kill one process of the loader, as a kernel does that runs out of memory."""

    def strike(process: subprocess.Popen[str]) -> None:
        task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        children = task.read_text().split() if task.exists() else []
        if children:
            os.kill(int(story.random.choice(children)), signal.SIGKILL)

    return story.attempt(strike)


def suspend(story: Story) -> End:
    """Stop the clock of all its processes for a while."""

    def strike(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGCONT)

    return story.attempt(strike)


def second_process(story: Story) -> End:
    """Start the same command while it runs; the second must leave the record alone."""
    found: list[End] = []

    def strike(_: subprocess.Popen[str]) -> None:
        found.append(story.attempt())

    end = story.attempt(strike)
    return next((other for other in found if other.kind == "unclear"), end)


def no_memory(story: Story) -> End:
    """Let the process have no more memory than it has."""

    def strike(process: subprocess.Popen[str]) -> None:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))

    return story.attempt(strike)


def small_files(story: Story) -> End:
    """Let no file grow beyond a random size, as a quota would.

    Without workers, since the limit would be one of the memory too that they share.
    """
    limit = int(2 ** story.random.uniform(9, 20))
    return story.attempt(limit_bytes=limit, more=("trainer.workers=0",))


def full_disk(story: Story) -> End:
    """Fill the file system of the results but for a random rest."""
    ballast = story.results / "ballast"
    free = shutil.disk_usage(story.results).free
    with ballast.open("wb") as stream:
        os.posix_fallocate(
            stream.fileno(), 0, max(1, free - int(2 ** story.random.uniform(10, 21)))
        )
    try:
        return story.attempt()
    finally:
        ballast.unlink()


def read_only(story: Story) -> End:
    """Try on a file system that can only be read."""
    _remount(story.results, "ro")
    try:
        return story.attempt()
    finally:
        _remount(story.results, "rw")


def damage_record(story: Story) -> End:
    """Damage a random file of the record, then go on for a while."""
    files = sorted(path for path in story.results.rglob("*") if path.is_file())
    if files:
        damage = story.random.choice((flip, cut, empty, remove))
        damage(story.random.choice(files), story.random)
    return _on(story)


def litter(story: Story) -> End:
    """Leave half a temporary file behind, as a killed process does."""
    if story.record is not None:
        folders = [path for path in story.record.rglob("*") if path.is_dir()]
        place = story.random.choice([story.record, *folders])
        (place / ".last.pt.99999.tmp").write_bytes(story.random.randbytes(1000))
    return _on(story)


def older_checkpoint(story: Story) -> End:
    """Put the checkpoint before the newest in its place, as a backup of an unfinished run does."""
    folder = story.record and story.record / "checkpoint"
    unfinished = story.record and not (story.record / "DONE").exists()
    if folder and unfinished and (folder / "previous.pt").exists():
        shutil.copyfile(folder / "previous.pt", folder / "last.pt")
    return _on(story)


def damage_data(story: Story) -> End:
    """Damage a random file of the data for one attempt.

    Loose frames have no hash to be compared with, so a changed number in a .npy file of theirs
    would pass for data: these are cut short or removed.
    """
    folder = story.data / story.dataset
    path = story.random.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    kinds = [cut, empty, remove]
    if path.suffix != ".npy" or (path.parent / "atom_offsets.npy").exists():
        kinds.append(flip)
    content = path.read_bytes()
    story.random.choice(kinds)(path, story.random)
    try:
        return _on(story)
    finally:
        path.write_bytes(content)


def flip(path: Path, random: Random) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)


def cut(path: Path, random: Random) -> None:
    """Cut the end off."""
    size = path.stat().st_size
    os.truncate(path, random.randrange(size) if size else 0)


def empty(path: Path, _: Random) -> None:
    """Leave nothing in the file."""
    os.truncate(path, 0)


def remove(path: Path, _: Random) -> None:
    """Take the file away."""
    path.unlink()


def _on(story: Story) -> End:
    """Go on for a random while."""
    return send(signal.SIGTERM, story)


def _remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


FAULTS: dict[str, Fault] = {
    "SIGKILL": partial(send, signal.SIGKILL),
    "SIGKILL with its workers": partial(send, signal.SIGKILL, group=True),
    "SIGTERM": partial(send, signal.SIGTERM),
    "SIGTERM with its workers": partial(send, signal.SIGTERM, group=True),
    "SIGINT": partial(send, signal.SIGINT),
    "SIGUSR1 with its workers": partial(send, signal.SIGUSR1, group=True),
    "a worker killed": kill_a_worker,
    "suspended": suspend,
    "a second process": second_process,
    "no more memory": no_memory,
    "file size limit": small_files,
    "damaged record file": damage_record,
    "leftover of a killed process": litter,
    "older checkpoint": older_checkpoint,
    "damaged data file": damage_data,
}
ON_A_MOUNT: dict[str, Fault] = {"disk full": full_disk, "read-only": read_only}
"""Faults that need a file system of their own for the results."""
