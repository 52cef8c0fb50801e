"""metrics.jsonl: a line for each epoch of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from mtl_bench.errors import RecordError
from mtl_bench.files import parse_json
from mtl_bench.records.summary import is_usable


def complete_lines(path: Path, start: int = 0) -> list[bytes]:
    """Return the lines that end with a newline; a training may be writing the next one.

    Args:
        path: metrics.jsonl; a file that doesn't exist yet has no lines.
        start: offset in bytes at which a line begins.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def parse_epoch(line: bytes) -> dict[str, Any]:
    r"""Return what a line says of its epoch.

    Raises:
        ValueError: it is no object with the number of an epoch.

    >>> parse_epoch(b'{"epoch": 3, "test": {"mu": {"mae": 0.5}}}\n')
    {'epoch': 3, 'test': {'mu': {'mae': 0.5}}}
    """
    entry = parse_json(line)
    epoch = entry.get("epoch") if isinstance(entry, dict) else None
    if type(epoch) is not int or not 0 < epoch < 2**31:
        raise ValueError("no object with the number of an epoch")
    return dict(entry)


def read_epochs(path: Path, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
    """Return the epochs of a run that has ended.

    Args:
        path: metrics.jsonl.
        skip_damaged: leave out what can't be read, the whole file if need be.

    Raises:
        RecordError: the file is missing, or a line of it can't be read.
    """
    epochs = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        if skip_damaged:
            return []
        raise RecordError(f"{path} can't be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            epochs.append(parse_epoch(line))
        except ValueError as error:
            if not skip_damaged:
                raise RecordError(f"{path} line {number} can't be read: {error}") from error
    return epochs


def masked_updates(epochs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return task -> updates that it was left out of, of those that were, see ``LossMask``.

    >>> masked_updates([{"epoch": 1}, {"epoch": 2, "masked_updates": {"heavy": 7}}])
    {'heavy': 7}
    """
    counts = Counter[str]()
    for line in epochs:
        counts.update(line.get("masked_updates", {}))
    return dict(counts)


def components_of(epochs: Iterable[Mapping[str, Any]], part: str) -> set[str]:
    """Return the components that epochs speak of, "" for the only one of a run.

    Args:
        epochs: lines of metrics.jsonl.
        part: of a line, with a key for each task and component.

    >>> epochs = [{"epoch": 1, "weights": {"critic/heavy": 1.0, "actor/heavy": 1.0}}]
    >>> sorted(components_of(epochs, "weights"))
    ['actor', 'critic']
    """
    return {key.rpartition("/")[0] for line in epochs for key in line.get(part, {})}


ENVIRONMENT_STEPS, CPU_MINUTES = "environment steps", "CPU minutes"


def clocks(epochs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return how far a run was at the end of each epoch, by what is counted.

    The steps are those of each task's environments, the minutes are CPU time of training, without
    evaluation. What a line doesn't tell is left out of all.
    """
    seconds = [own if isinstance(own := epoch.get("seconds"), dict) else {} for epoch in epochs]
    counted: dict[str, list[Any]] = {
        ENVIRONMENT_STEPS: [epoch.get("environment_steps") for epoch in epochs],
        CPU_MINUTES: [own.get("cpu") for own in seconds],
    }
    told = {name: own for name, own in counted.items() if own and all(map(is_usable, own))}
    if CPU_MINUTES in told:
        told[CPU_MINUTES] = [spent / 60 for spent in accumulate(told[CPU_MINUTES])]
    return told
