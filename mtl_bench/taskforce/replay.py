"""The replay buffer of the agents.

Legend of shape suffixes: B sampled transitions, T agents, O observed numbers each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_bench.ring import Ring

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


class Replay(Ring[Transitions]):
    """A ring of the latest transitions, and the moments of their rewards.

    Args:
        num_agents: T.
        capacity: transitions kept; the oldest makes room for the next.
    """

    def __init__(self, num_agents: int, capacity: int) -> None:
        shape = (0, num_agents, num_agents + 1)
        empty = Transitions(
            torch.empty(shape, dtype=torch.float32),
            torch.empty(shape[:2], dtype=torch.float32),
            torch.empty(0, dtype=torch.float64),
            torch.empty(shape, dtype=torch.float32),
        )
        super().__init__(capacity, empty)
        self._moments = RewardMoments()

    def push(
        self, observation_TO: Tensor, actions_T: Tensor, reward: float, next_observation_TO: Tensor
    ) -> None:
        """Store one transition in place of the oldest if the ring is full."""
        if self._size == self.capacity:
            self._moments.add(self._rows.rewards_B[self._position].item(), sign=-1)
        self._moments.add(reward)
        self.append(observation_TO, actions_T, reward, next_observation_TO)

    def reward_deviation(self) -> float:
        """Return the standard deviation of the stored rewards, 0 if there are none."""
        return self._moments.deviation() if self._size else 0.0

    def sample(self, batch_size: int, generator: torch.Generator) -> Transitions:
        """Return B transitions drawn uniformly with replacement, rewards standardised as float32.

        The rewards are standardised with the moments of the whole buffer; equal rewards become
        zeros.
        """
        batch = super().sample(batch_size, generator)
        rewards_B = (batch.rewards_B - self._moments.mean()) / (self._moments.deviation() or 1.0)
        return batch._replace(rewards_B=rewards_B.float())

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            RecordError: the state comes from a buffer of another capacity.
        """
        super().set_extra_state(state)
        self._moments = RewardMoments()
        for reward in self._rows.rewards_B.tolist():
            self._moments.add(reward)
