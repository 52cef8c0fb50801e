"""The replay buffer: whole episodes of T tasks, kept in files that are written once.

Legend of shape suffixes: N episodes, H steps of an episode, T tasks, C copies of each, B samples of
a task, O observation numbers, A action numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl_bench.environments.base import Suite
from mtl_bench.records.parts import PartStore


class Transitions(NamedTuple):
    """B transitions of each task; none of them ends in a terminal state."""

    observations_TBO: Tensor
    actions_TBA: Tensor
    rewards_TB: Tensor
    next_TBO: Tensor

    def to(self, device: torch.device) -> Transitions:
        """Return them on a device."""
        return Transitions(*(values.to(device) for values in self))


class EpisodeReplay:
    """A ring of the latest episodes, from which each task's transitions are drawn uniformly.

    An episode has H + 1 observations, so that the next one is kept once, not twice. Episodes that
    are over are written as parts of a ``PartStore``, each once; a state holds their names and the
    running episode.

    Args:
        suite: whose episodes.
        capacity: transitions of each task that are kept at least, once there are so many.

    Attributes:
        begun: episodes so far, the running one included.
        steps: of the running episode.
    """

    def __init__(self, suite: Suite, capacity: int) -> None:
        tasks, copies, horizon = len(suite.tasks), suite.copies, suite.horizon
        self.slots = 1 + -(-capacity // (horizon * copies))
        self.begun = self.steps = self._written = 0
        self._store: PartStore | None = None
        rows = (tasks, copies)
        self._columns = (  # torch takes the memory when it is written to
            torch.empty(self.slots, horizon + 1, *rows, suite.observation_dim),
            torch.empty(self.slots, horizon, *rows, suite.action_dim),
            torch.empty(self.slots, horizon, *rows),
        )
        self._horizon = horizon

    def __len__(self) -> int:
        """Return how many vector steps can be drawn from."""
        return self.vector_steps - self._first()

    @property
    def vector_steps(self) -> int:
        """Steps of every environment so far."""
        return max(0, self.begun - 1) * self._horizon + self.steps

    def begin(self, observations_TCO: np.ndarray) -> None:
        """Begin an episode, in place of the oldest one if there is no free slot."""
        self.begun += 1
        self.steps = 0
        self._columns[0][self._slot, 0] = torch.from_numpy(observations_TCO)

    def append(
        self, actions_TCA: np.ndarray, rewards_TC: np.ndarray, observations_TCO: np.ndarray
    ) -> None:
        """Add a step of the running episode: what was done, and what that led to."""
        observations, actions, rewards = self._columns
        actions[self._slot, self.steps] = torch.from_numpy(actions_TCA)
        rewards[self._slot, self.steps] = torch.from_numpy(rewards_TC)
        self.steps += 1
        observations[self._slot, self.steps] = torch.from_numpy(observations_TCO)

    def running(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return observations, actions and rewards of the latest episode as far as it is."""
        observations, actions, rewards = (column[self._slot] for column in self._columns)
        return observations[: self.steps + 1], actions[: self.steps], rewards[: self.steps]

    def sample(self, batch_size: int, generator: torch.Generator) -> Transitions:
        """Return B transitions of each task, drawn uniformly with replacement."""
        tasks, copies = self._columns[2].shape[2:]
        shape = (tasks, batch_size)
        draws_TB = torch.randint(len(self) * copies, shape, generator=generator)
        steps_TB = draws_TB // copies + self._first()
        episodes_TB, steps_TB = steps_TB // self._horizon % self.slots, steps_TB % self._horizon
        columns_TB = torch.arange(tasks)[:, None] * copies + draws_TB % copies

        def take(column: Tensor, offset: int = 0) -> Tensor:
            rows_TB = episodes_TB * column.shape[1] + steps_TB + offset
            rows = (rows_TB * tasks * copies + columns_TB).flatten()
            return column.flatten(0, 3).index_select(0, rows).view(*shape, *column.shape[4:])

        observations, actions, rewards = self._columns
        return Transitions(take(observations), take(actions), take(rewards), take(observations, 1))

    def keep_in(self, folder: Path) -> None:
        """Write parts to ``folder/replay`` from now on."""
        self._store = PartStore(folder, "replay", "*.npy")

    def write(self) -> None:
        """Write the episodes that are over and not written yet; call it once for a checkpoint."""
        over = self.begun - (self.steps < self._horizon)
        if self._store is None or not self.begun:
            return
        oldest = max(0, self.begun - self.slots)
        first = max(self._written, oldest)
        if first < over:
            slots = torch.arange(first, over) % self.slots

            def save(stream: IO[bytes]) -> None:
                for column in self._columns:
                    np.save(stream, column[slots].numpy(), allow_pickle=False)

            self._store.write(f"{first:08}.npy", save)
            self._written = over
        names = sorted(self._store.parts)
        ends = [*(_first_of(name) for name in names[1:]), self._written]
        self._store.drop([name for name, end in zip(names, ends, strict=False) if end <= oldest])

    def damaged(self, state: dict[str, Any]) -> list[str]:
        """Return the parts of a state that are missing or not what they were."""
        assert self._store is not None
        return self._store.damaged(state)

    def state_dict(self) -> dict[str, Any]:
        """Return the running episode, and the names and hashes of the parts with the others."""
        return {
            "begun": self.begun,
            "steps": self.steps,
            "written": self._written,
            "running": [column.clone() for column in self.running()] if self.begun else [],
            **(self._store.state_dict() if self._store else {"parts": {}, "lost": []}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; its parts must be whole."""
        self.begun, self.steps = state["begun"], state["steps"]
        self._written = state["written"]
        if self._store is not None:
            self._store.resume(state)
            for name in sorted(self._store.parts):
                self._read(self._store.root / name)
        for column, running in zip(self._columns, state["running"], strict=False):
            column[self._slot, : len(running)] = running

    def _read(self, path: Path) -> None:
        first = _first_of(path.name)
        with path.open("rb") as stream:
            for column in self._columns:
                episodes = torch.from_numpy(np.load(stream, allow_pickle=False))
                numbers = torch.arange(first, first + len(episodes))
                kept = numbers >= self.begun - self.slots
                column[numbers[kept] % self.slots] = episodes[kept]

    @property
    def _slot(self) -> int:
        return (self.begun - 1) % self.slots

    def _first(self) -> int:
        return max(0, self.begun - self.slots) * self._horizon


def _first_of(name: str) -> int:
    """Return the number of a part's first episode."""
    return int(Path(name).stem)
