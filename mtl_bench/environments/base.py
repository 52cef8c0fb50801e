"""What multi-task reinforcement learning asks of its environments.

Legend of shape suffixes: T tasks, C copies of each task, O observation numbers, A action numbers,
n steps of an episode.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from mtl_bench.errors import ConfigError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import Fraction, Positive, PositiveInt

Purpose = Literal["training", "evaluation"]
"""What the episodes of a suite are for: each has random numbers of its own."""


class Outcome(NamedTuple):
    """What a step led to.

    Args:
        observations: (T, C, O) float32, of the states that were reached. They are the true ones
            also at the end of an episode.
        rewards: (T, C) float32, scaled.
        successes: (T, C) bool. An episode succeeds if any of its steps does.
    """

    observations: np.ndarray
    rewards: np.ndarray
    successes: np.ndarray


class Suite(ABC):
    """T tasks with C copies of each, whose episodes begin and end together.

    There are no terminal states: an episode ends because its time is over, so the value of its last
    state counts. All random numbers of an episode are drawn when it begins, from one generator per
    environment, which depends on the seed, the purpose, the task's name and the copy's number
    alone.

    Args:
        tasks: names in the order of T, or the name of a benchmark.
        copies: C.
        horizon: steps of an episode.
        seed: of the run.
        purpose: what the episodes are for.
        reward_scale: factor of all rewards.
        task_reward_scales: task -> a further factor of its rewards, for instance to let one task
            dominate.
        reward_rate: rate of the running variance by whose root each environment's training rewards
            are divided; None for rewards as they are.

    Attributes:
        task_names: all tasks that there are.
        benchmarks: name -> its tasks.
        simulator: what computes the states and in which version. A run is not continued on
            another one.
        reward_scales: (T,) the factors in ``Outcome.rewards``, beside the running deviation.

    Raises:
        ConfigError: no task, or one that is unknown or named twice.
    """

    task_names: ClassVar[tuple[str, ...]]
    benchmarks: ClassVar[dict[str, tuple[str, ...]]]
    observation_dim: ClassVar[int]
    action_dim: ClassVar[int]
    has_validation: ClassVar[bool] = False
    simulator: str

    def __init__(
        self,
        tasks: str | list[str],
        copies: PositiveInt,
        horizon: PositiveInt,
        seed: int,
        purpose: Purpose,
        reward_scale: Positive,
        task_reward_scales: dict[str, Positive] | None,
        reward_rate: Fraction | None = None,
    ) -> None:
        names = self.names_in(tasks)
        if not names:
            raise ConfigError("tasks: there is none; name at least one")
        check_names("tasks", names, self.known_names(names))
        further = task_reward_scales or {}
        check_names("task_reward_scales", list(further), names)
        self.tasks = names
        self.copies = copies
        self.horizon = horizon
        self.steps = 0
        self.reward_scales = reward_scale * np.array([further.get(task, 1.0) for task in names])
        self._generators = [
            np.random.default_rng(derive_seed(seed, "environment", purpose, task, copy))
            for task in names
            for copy in range(copies)
        ]
        self._reward_rate = reward_rate if purpose == "training" else None
        self._reward_statistics = np.array(
            [np.zeros((len(names), copies)), np.ones((len(names), copies))]
        )
        self._beginning = self._episode_state()

    @classmethod
    def names_in(cls, tasks: str | list[str]) -> tuple[str, ...]:
        """Return the names of the tasks of a benchmark, of one task, or of a list as it is."""
        return cls.benchmarks.get(tasks, (tasks,)) if isinstance(tasks, str) else tuple(tasks)

    @classmethod
    def known_names(cls, names: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks that there are, those that names may make included."""
        return cls.task_names

    @property
    def origin(self) -> dict[str, str]:
        """What is learned from, in the words of ``Dataset.origin``."""
        return {"kind": "simulated", "source": self.simulator, "manifest": ""}

    @abstractmethod
    def _begin(self, generators: list[np.random.Generator]) -> np.ndarray:
        """Begin an episode of every environment and return its first observations, (T, C, O).

        Nothing of an earlier episode may have an influence.

        Args:
            generators: one per environment, T * C of them in task-major order.
        """

    @abstractmethod
    def _advance(self, actions_TCA: np.ndarray) -> Outcome:
        """Make a step with actions in [-1, 1]; its rewards are not scaled yet."""

    def reset(self) -> np.ndarray:
        """Begin an episode of every environment and return its first observations, (T, C, O)."""
        self._beginning = self._episode_state()
        self.steps = 0
        return self._begin(self._generators).astype(np.float32)

    def step(self, actions_TCA: np.ndarray) -> Outcome:
        """Make a step of every environment; after ``horizon`` of them, call ``reset``.

        Args:
            actions_TCA: limited to [-1, 1], and rounded to float32 as a replay buffer keeps them.
        """
        if self.steps == self.horizon:
            raise ValueError(f"the episode is over after {self.horizon} steps: call reset()")
        self.steps += 1
        actions = np.clip(np.asarray(actions_TCA, dtype=np.float32), -1, 1)
        observations, rewards, successes = self._advance(actions)
        if self._reward_rate is not None:
            rewards = self._normalized(rewards, self._reward_rate)
        return Outcome(
            observations.astype(np.float32),
            (rewards * self.reward_scales[:, None]).astype(np.float32),
            successes,
        )

    @contextmanager
    def camera(self) -> Iterator[Callable[[], np.ndarray]]:
        """Give a function that returns what each task's first copy looks like now.

        Its pictures are (T, H, W, 3) of red, green and blue in uint8.

        Raises:
            ConfigError: these environments can't be seen.
        """
        raise ConfigError(f"{type(self).__name__} has no pictures of its environments")
        yield

    def state_dict(self) -> dict[str, Any]:
        """Return what the present episode can be made of again, together with its actions.

        These are the states from before it began, of the generators and of the running deviation of
        the rewards if there is one, and its number of steps. Before the first episode, they are
        what that will begin with.
        """
        return {**self._beginning, "steps": self.steps}

    def restore(self, state: Mapping[str, Any], actions_nTCA: np.ndarray) -> np.ndarray:
        """Go through an episode again and return its latest observations, (T, C, O).

        On the same simulator they are equal to the last bit, and so is all that follows.

        Args:
            state: as ``state_dict`` returned it.
            actions_nTCA: of all the steps that it counts.
        """
        if len(actions_nTCA) != state["steps"]:
            raise ValueError(f"{state['steps']} steps, but {len(actions_nTCA)} actions")
        for generator, value in zip(self._generators, state["generators"], strict=True):
            generator.bit_generator.state = value
        if self._reward_rate is not None:
            self._reward_statistics = np.array(state["reward_statistics"])
        observations = self.reset()
        for actions_TCA in actions_nTCA:
            observations = self.step(actions_TCA).observations
        return observations

    def _normalized(self, rewards_TC: np.ndarray, rate: float) -> np.ndarray:
        """Return rewards divided by their running deviation, this step's included.

        That of mtenv: μ <- (1 - rate) μ + rate r, then v <- (1 - rate) v + rate (r - μ)², from
        μ = 0 and v = 1.
        """
        mean, variance = self._reward_statistics
        mean = (1 - rate) * mean + rate * rewards_TC
        variance = (1 - rate) * variance + rate * (rewards_TC - mean) ** 2
        self._reward_statistics = np.stack((mean, variance))
        return rewards_TC / (np.sqrt(variance) + 1e-8)

    def _episode_state(self) -> dict[str, Any]:
        generators = [dict(generator.bit_generator.state) for generator in self._generators]
        if self._reward_rate is None:
            return {"generators": generators}
        return {"generators": generators, "reward_statistics": self._reward_statistics.tolist()}


def check_names(key: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Check names of tasks.

    Raises:
        ConfigError: one is not known or there twice.
    """
    for number, name in enumerate(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"{key}: no task {name}; {hint}")
        if name in names[:number]:
            raise ConfigError(f"{key}: {name} is there twice; name each task once")
