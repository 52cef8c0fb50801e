"""Two tasks that are learned in seconds, and can't be told apart by what is observed."""

from functools import partial
from typing import ClassVar

import numpy as np
import torch

from mtl_bench.algorithms.sac.sac import MultiTaskSAC
from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.environments.base import Outcome, Suite

TASKS = ("same", "mirrored")


class Mirror(Suite):
    """The goal g is observed; the best action is g in one task and -g in the other."""

    task_names = TASKS
    benchmarks: ClassVar = {}
    simulator = "mirror 1"
    observation_dim = 1
    action_dim = 1

    def _begin(self, generators):
        drawn = [generator.uniform(-0.9, 0.9) for generator in generators]
        self.goals_TC1 = np.reshape(drawn, (len(TASKS), self.copies, 1))
        return self.goals_TC1

    def _advance(self, actions_TCA):
        signs = np.array([1.0, -1.0])[:, None, None]
        errors_TC = np.abs(actions_TCA - signs * self.goals_TC1)[..., 0]
        done = self.steps == self.horizon
        return Outcome(self.goals_TC1, -(errors_TC**2), (errors_TC < 0.25) & done)


def mirror(seed, purpose="training"):
    return Mirror(TASKS, 4, 5, seed, purpose, 1.0, None)


def mirror_sac(methods, seed, network=MLP, *, of_network=(("heads", False),), **fields):
    """Build the algorithm without any configuration; ``of_network`` are its network's fields."""
    torch.manual_seed(seed)
    build = partial(network, TASKS, hidden=(32, 32), initialization="xavier", **dict(of_network))
    critics = build(Shape(2, 1, members=2, observation=1))
    return MultiTaskSAC(
        mirror(seed),
        mirror(seed, "evaluation"),
        build(Shape(1, 2, observation=1, critics=critics)),
        critics,
        methods,
        partial(torch.optim.Adam, lr=3e-3),
        seed=seed,
        device=torch.device("cpu"),
        batch_size=32,
        gamma=0.5,
        initial_temperature=0.02,
        epoch_episodes=100,
        **fields,
    )
