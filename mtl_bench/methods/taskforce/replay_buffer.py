"""The replay buffer of the agents.

Legend of shape suffixes: B sampled transitions, T tasks, O observed numbers each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_bench.agents.ring import RingBuffer

FRACTION_BITS = 1074
"""Every float64 is an integer multiple of 2**-1074."""


class AgentTransitions(NamedTuple):
    """What the agents learn from: observation, joint action, reward, next observation.

    The reward is one number that all agents share, shape (B,), or one of each task, (B, T).
    """

    observations_BTO: Tensor
    actions_BT: Tensor
    rewards: Tensor
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


class Replay(RingBuffer[AgentTransitions]):
    """A ring of the latest transitions, and the moments of their rewards.

    Args:
        num_tasks: T.
        capacity: transitions kept; the oldest makes room for the next.
        own_rewards: one reward per task, each with moments of its own, instead of a shared one.
    """

    def __init__(self, num_tasks: int, capacity: int, own_rewards: bool = False) -> None:
        shape = (0, num_tasks, num_tasks + 1)
        empty = AgentTransitions(
            torch.empty(shape, dtype=torch.float32),
            torch.empty(shape[:2], dtype=torch.float32),
            torch.empty((0, num_tasks) if own_rewards else 0, dtype=torch.float64),
            torch.empty(shape, dtype=torch.float32),
        )
        super().__init__(capacity, empty)
        self._moments = [RewardMoments() for _ in range(num_tasks if own_rewards else 1)]

    def push(
        self,
        observation_TO: Tensor,
        actions_T: Tensor,
        reward: Tensor | float,
        next_observation_TO: Tensor,
    ) -> None:
        """Store one transition in place of the oldest if the ring is full.

        Args:
            observation_TO: what the agents saw.
            actions_T: what they did.
            reward: one number, or one per task, shape (T,).
            next_observation_TO: what they saw then.
        """
        if self._size == self.capacity:
            self._count(self._rows.rewards[self._position], sign=-1)
        self._count(torch.as_tensor(reward, dtype=torch.float64))
        self.append(observation_TO, actions_T, reward, next_observation_TO)

    def reward_deviation(self) -> float:
        """Return the standard deviation of the stored rewards, 0 if there are none.

        Of rewards per task it is the mean of their deviations.
        """
        return fmean(m.deviation() for m in self._moments) if self._size else 0.0

    def sample(self, batch_size: int, generator: torch.Generator) -> AgentTransitions:
        """Return B transitions drawn uniformly with replacement, rewards standardised as float32.

        The rewards are standardised with the moments of the whole buffer, those of each task with
        their own; equal rewards become zeros.
        """
        return self._standardise(super().sample(batch_size, generator))

    def latest(self, count: int) -> AgentTransitions:
        """Return the latest transitions, rewards standardised as ``sample`` does."""
        return self._standardise(super().latest(count))

    def _standardise(self, batch: AgentTransitions) -> AgentTransitions:
        means, deviations = (
            torch.tensor(values, dtype=torch.float64).view(batch.rewards.shape[1:])
            for values in zip(
                *((m.mean(), m.deviation() or 1.0) for m in self._moments), strict=True
            )
        )
        return batch._replace(rewards=((batch.rewards - means) / deviations).float())

    def keep(self) -> Callable[[], None]:
        """Return a function that takes back the transition that is stored next, if one is."""
        take_row_back, moments = super().keep(), deepcopy(self._moments)

        def take_back() -> None:
            take_row_back()
            self._moments = moments

        return take_back

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            RecordError: the state comes from a buffer of another capacity.
        """
        super().set_extra_state(state)
        self._moments = [RewardMoments() for _ in self._moments]
        columns = self._rows.rewards.view(self._size, len(self._moments)).T.tolist()
        for moments, column in zip(self._moments, columns, strict=True):
            for reward in column:
                moments.add(reward)

    def _count(self, reward: Tensor, sign: int = 1) -> None:
        """Take one stored reward into the moments, or out of them."""
        for moments, value in zip(self._moments, reward.flatten().tolist(), strict=True):
            moments.add(value, sign)
