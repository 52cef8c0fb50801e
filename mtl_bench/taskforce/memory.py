"""The last move of the game, and the transitions that are made of it.

Legend of shape suffixes: T tasks, O = T + 1 numbers that one agent observes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_bench.taskforce.replay import Replay
from mtl_bench.taskforce.reward import Reward, Rewards


class Memory(nn.Module):
    """Keeps a move until its outcome is seen, and then stores the transition.

    Args:
        num_tasks: T.
        buffer_size: transitions in the replay buffer.
        rewards: what a transition is worth.
    """

    observation_TO: Tensor
    actions_T: Tensor
    weights_T: Tensor
    gram_TT: Tensor
    losses_T: Tensor

    def __init__(self, num_tasks: int, buffer_size: int, rewards: Rewards) -> None:
        super().__init__()
        self.rewards = rewards
        self.replay = Replay(num_tasks, buffer_size, rewards.own)
        for name, shape, dtype in (
            ("observation_TO", (num_tasks, num_tasks + 1), torch.float32),
            ("actions_T", (num_tasks,), torch.float32),
            ("weights_T", (num_tasks,), torch.float64),
            ("gram_TT", (num_tasks, num_tasks), torch.float64),
            ("losses_T", (num_tasks,), torch.float64),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    def begin(
        self,
        observation_TO: Tensor,
        actions_T: Tensor,
        weights_T: Tensor,
        gram_TT: Tensor,
        losses_T: Tensor,
    ) -> None:
        """Keep a move: what was seen and done, and what its reward will be computed from."""
        self.observation_TO.copy_(observation_TO)
        self.actions_T.copy_(actions_T)
        self.weights_T.copy_(weights_T)
        self.gram_TT.copy_(gram_TT)
        self.losses_T.copy_(losses_T)

    def complete(self, observation_TO: Tensor, losses_T: Tensor) -> Reward:
        """Store the transition from the kept move to this observation and return its reward."""
        reward = self.rewards(self.losses_T, losses_T, self.weights_T, self.gram_TT)
        self.replay.push(self.observation_TO, self.actions_T, reward.values, observation_TO)
        return reward
