"""What the soft actor-critic remembers. B transitions, T tasks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_bench.agents.ring import RingBuffer


class LossTransitions(NamedTuple):
    """Losses, the weights they were answered with, the reward, and the losses of the next step."""

    losses_BT: Tensor
    weights_BT: Tensor
    rewards_B: Tensor
    next_losses_BT: Tensor


def make_replay(num_tasks: int, capacity: int) -> RingBuffer[LossTransitions]:
    """Return an empty replay buffer of float32 numbers."""
    none_BT = torch.empty(0, num_tasks, dtype=torch.float32)
    none_B = torch.empty(0, dtype=torch.float32)
    return RingBuffer(capacity, LossTransitions(none_BT, none_BT, none_B, none_BT))
