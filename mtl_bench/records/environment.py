"""environment.json of a run that several processes made, one going on where another stopped.

What the first process ran on stands at the top. ``resumed`` has an entry for every later one, with
what differs from the first: that it was started at another time, perhaps other code or a device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl_bench.errors import RecordError
from mtl_bench.files import read_json

RESUMED = "resumed"


def with_process(path: Path, present: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of environment.json of a run that a process goes on with.

    Args:
        path: environment.json as the processes before left it; one that can't be read tells nothing
            of them.
        present: what the process runs on.
    """
    try:
        before = read_json(path)
        first, later = _split(before)
    except (OSError, ValueError, TypeError):
        return present
    changes = {k: v for k, v in present.items() if k not in first or first[k] != v}
    return first | {RESUMED: [*later, changes]}


def latest_process(environment: dict[str, Any]) -> dict[str, Any]:
    """Return what the last process of a run ran on.

    Raises:
        TypeError: ``resumed`` is no list of objects.
    """
    first, later = _split(environment)
    return first | (later[-1] if later else {})


def read_environment(record: Path) -> dict[str, Any]:
    """Return what the last process of a recorded run ran on.

    Raises:
        RecordError: environment.json can't be read.
    """
    path = record / "environment.json"
    try:
        return latest_process(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"{path} can't be read: {error}") from error


def devices_of(environment: dict[str, Any]) -> list[str]:
    """Return the names of the devices that a run was made on, each once, in the order of use.

    Raises:
        KeyError: no device is named.
        TypeError: ``resumed`` is no list of objects.
    """
    return list(dict.fromkeys(str(process["device"]) for process in _processes(environment)))


def machines_of(environment: dict[str, Any]) -> list[str]:
    """Return device and system of the processes that made a run, each once, in the order of use.

    Raises:
        KeyError: no device or no system is named.
        TypeError: ``resumed`` is no list of objects.
    """
    names = (f"{each['device']} on {each['platform']}" for each in _processes(environment))
    return list(dict.fromkeys(names))


def _processes(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each process ran on."""
    first, later = _split(environment)
    return [first | process for process in ({}, *later)]


def _split(environment: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # noqa: ANN401
    """Return the first process's part and the entries of the later ones."""
    later = environment.get(RESUMED, []) if isinstance(environment, dict) else None
    if not isinstance(later, list) or not all(isinstance(process, dict) for process in later):
        raise TypeError(f"environment.json: {RESUMED} is no list of objects")
    return {k: v for k, v in environment.items() if k != RESUMED}, later
