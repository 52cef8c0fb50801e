"""The replay buffer of the agents.

Legend of shape suffixes: N stored transitions, B sampled ones, T agents, O observed numbers each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_bench.errors import RecordError

FIRST_ROWS = 1024
FRACTION_BITS = 1074
"""Every float64 is an integer multiple of 2**-1074."""


class Transitions(NamedTuple):
    """What the agents learn from: observation, joint action, shared reward, next observation."""

    observations_BTO: Tensor
    actions_BT: Tensor
    rewards_B: Tensor
    next_observations_BTO: Tensor


class RewardMoments:
    """Mean and deviation of a changing set of numbers.

    The sums are kept as integers, in units of the smallest float64, so that adding and taking away
    leave no rounding behind: the moments depend on the numbers that are in the set and on nothing
    that ever was, even if an evicted reward was many orders of magnitude larger.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0
        self._squares = 0

    def add(self, value: float, sign: int = 1) -> None:
        """Take in one finite number, or take it out again with ``sign`` -1."""
        numerator, denominator = value.as_integer_ratio()
        units = numerator << (FRACTION_BITS + 1 - denominator.bit_length())
        self._count += sign
        self._sum += sign * units
        self._squares += sign * units * units

    def mean(self) -> float:
        """Return the mean of at least one number."""
        return self._sum / (self._count << FRACTION_BITS)

    def deviation(self) -> float:
        """Return the standard deviation of the set itself, without Bessel's correction."""
        variance = self._count * self._squares - self._sum * self._sum
        return math.sqrt(variance / (self._count**2 << 2 * FRACTION_BITS))


class Replay(nn.Module):
    """A ring of the latest transitions, and the moments of their rewards.

    Memory is taken in steps of doubling until ``capacity`` rows are there. The saved state holds
    the filled rows only.

    Args:
        num_agents: T.
        capacity: transitions kept; the oldest makes room for the next.
    """

    def __init__(self, num_agents: int, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self._size = 0
        self._position = 0
        self._moments = RewardMoments()
        shape = (0, num_agents, num_agents + 1)
        self._rows = Transitions(
            torch.empty(shape, dtype=torch.float32),
            torch.empty(shape[:2], dtype=torch.float32),
            torch.empty(0, dtype=torch.float64),
            torch.empty(shape, dtype=torch.float32),
        )

    def __len__(self) -> int:
        return self._size

    def contents(self) -> Transitions:
        """Return views of what is stored, N rows in the order of the ring, rewards as pushed."""
        return Transitions(*(rows[: self._size] for rows in self._rows))

    def push(
        self, observation_TO: Tensor, actions_T: Tensor, reward: float, next_observation_TO: Tensor
    ) -> None:
        """Store one transition in place of the oldest if the ring is full."""
        slot = self._position
        if self._size == self.capacity:
            self._moments.add(self._rows.rewards_B[slot].item(), sign=-1)
        else:
            self._reserve(slot + 1)
            self._size += 1
        self._rows.observations_BTO[slot] = observation_TO
        self._rows.actions_BT[slot] = actions_T
        self._rows.rewards_B[slot] = reward
        self._rows.next_observations_BTO[slot] = next_observation_TO
        self._moments.add(reward)
        self._position = (slot + 1) % self.capacity

    def sample(self, batch_size: int, generator: torch.Generator) -> Transitions:
        """Return B transitions drawn uniformly with replacement, rewards standardised as float32.

        With replacement, drawing costs the same however full the buffer is, and a buffer smaller
        than the batch serves as well. The rewards are standardised with the moments of the whole
        buffer; equal rewards become zeros.
        """
        rows_B = torch.randint(self._size, (batch_size,), generator=generator)
        batch = Transitions(*(rows.index_select(0, rows_B) for rows in self._rows))
        rewards_B = (batch.rewards_B - self._moments.mean()) / (self._moments.deviation() or 1.0)
        return batch._replace(rewards_B=rewards_B.float())

    def get_extra_state(self) -> dict[str, Any]:
        """Return the filled rows and the position of the ring."""
        return {
            "capacity": self.capacity,
            "position": self._position,
            "rows": [rows.clone() for rows in self.contents()],  # a view would save its storage
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            RecordError: the state comes from a buffer of another capacity.
        """
        if state["capacity"] != self.capacity:
            raise RecordError(
                f"buffer_size: the saved replay buffer holds {state['capacity']} transitions, "
                f"this one {self.capacity}; continue with the value it was saved with"
            )
        self._position = state["position"]
        self._rows = Transitions(*(rows.clone() for rows in state["rows"]))
        self._size = len(self._rows.rewards_B)
        self._moments = RewardMoments()
        for reward in self._rows.rewards_B.tolist():
            self._moments.add(reward)

    def _reserve(self, rows: int) -> None:
        """Make room for at least so many rows."""
        present = len(self._rows.rewards_B)
        if rows <= present:
            return
        added = min(self.capacity, max(FIRST_ROWS, 2 * present)) - present
        self._rows = Transitions(
            *(torch.cat([old, old.new_empty((added, *old.shape[1:]))]) for old in self._rows)
        )
