"""The networks of the selected epochs, in files beside the checkpoints."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch

from mtl_bench.algorithms.supervised.optimizer_group import OptimizerGroup
from mtl_bench.architectures.base import Architecture
from mtl_bench.records.parts import PartStore

PATTERN = "best-*.pt"


class SelectedNetworks:
    """Writes the network of each group's selected epoch as ``best-<epoch>-<group>.pt``.

    A checkpoint names the files by their hashes. A file that was written and that no checkpoint
    names, because the process was killed in between, is removed when the run goes on.

    Args:
        network: predicts all tasks.
        groups: the tasks that are selected together.
    """

    def __init__(self, network: Architecture, groups: Sequence[OptimizerGroup]) -> None:
        self.network, self.groups = network, groups
        self._store: PartStore | None = None
        self._waiting: list[int] = []

    def keep_in(self, folder: Path) -> None:
        """Write to a folder from now on."""
        self._store = PartStore(folder, "", PATTERN)

    def end_epoch(self, epoch: int) -> None:
        """Note the groups that have selected the epoch that has just ended."""
        self._waiting = [n for n, group in enumerate(self.groups) if group.best_epoch == epoch]

    def write(self) -> None:
        """Write what is new since the last call; call it once for a checkpoint."""
        if self._store is None:
            return
        for number in self._waiting:
            tasks = [task.name for task in self.groups[number].tasks]
            epoch = self.groups[number].best_epoch
            part = {"epoch": epoch, "tasks": tasks}
            part["network"] = self.network.network_of(tasks).state_dict()
            buffer = io.BytesIO()  # writing to a file, torch hides the errno of a full disk
            torch.save(part, buffer)
            self._store.write(_name(epoch, number), partial(_copy, buffer))
        self._waiting = []
        kept = {_name(group.best_epoch, number) for number, group in enumerate(self.groups)}
        self._store.drop([name for name in self._store.parts if name not in kept])

    def state_dict(self) -> dict[str, Any]:
        """Return the names and hashes of the files."""
        return self._store.state_dict() if self._store else {"parts": {}, "lost": []}

    def load_state_dict(self, state: dict[str, Any] | None) -> list[str]:
        """Go on with the files that a state names, and remove others; return what is lost."""
        self._waiting = []
        return self._store.resume(state) if self._store else []


def _copy(buffer: io.BytesIO, stream: IO[bytes]) -> None:
    stream.write(buffer.getbuffer())


def _name(epoch: int, group: int) -> str:
    return f"best-{epoch:06d}-{group}.pt"


def load_selected(
    network: Architecture, folder: Path, state: Mapping[str, Any], tasks: Iterable[str]
) -> dict[str, int]:
    """Load the networks of the selected epochs that a checkpoint names.

    Args:
        network: gets the parameters; without a file for a task it keeps those that it has.
        folder: of the checkpoints.
        state: of ``Supervised``.
        tasks: names of the tasks that are wanted.

    Returns:
        Task -> the epoch whose network was loaded; none of a task whose file is missing or damaged.
    """
    kept = state.get("selected") or {"parts": {}}
    damaged = PartStore(folder, "", PATTERN).damaged(kept)
    epochs: dict[str, int] = {}
    for name in kept["parts"].keys() - damaged:
        part = torch.load(folder / name, map_location="cpu", weights_only=True)
        if set(part["tasks"]) & set(tasks):
            network.network_of(part["tasks"]).load_state_dict(part["network"])
            epochs |= dict.fromkeys(part["tasks"], part["epoch"])
    return epochs
