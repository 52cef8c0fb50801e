"""What the agents see, the last move of the game, and the transitions that are made of it.

Agents see the Gram matrix of the task gradients and the task losses.

Legend of shape suffixes: T tasks, S of them with labels in a batch, O = T + 1 numbers that one
agent observes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from mtl_bench.errors import NonFiniteError
from mtl_bench.methods.taskforce.replay_buffer import Replay
from mtl_bench.methods.taskforce.reward import Reward, Rewards

LIMIT = 1e15
"""Largest magnitude of an observed value, so that its square is still finite in float32."""


def observe(gram_TT: Tensor, losses_T: Tensor) -> Tensor:
    """Return the (T, O) float32 observations (Eq. 5); row t is what agent t sees.

    Losses enter as log(1 + L) (appendix B). Values beyond ``LIMIT`` are clamped to it, which the
    paper doesn't mention; only ``none`` and ``loss`` normalisation can reach it.

    Args:
        gram_TT: inner products of the task gradients, normalised or not.
        losses_T: task losses, not negative.
    """
    columns = torch.cat([gram_TT.double(), losses_T.double().log1p()[:, None]], dim=1)
    return columns.clamp(-LIMIT, LIMIT).float()


def require_valid(losses_T: Tensor, gram_TT: Tensor, names: Sequence[str]) -> None:
    """Stop at numbers that would stay in the replay buffer and spoil the agents much later.

    Raises:
        NonFiniteError: a loss is negative, or a loss or gradient is not finite.
    """
    numbers = zip(names, losses_T.tolist(), gram_TT.diagonal().tolist(), strict=True)
    for task, loss, square in numbers:
        if not (0 <= loss < inf and square < inf):
            raise NonFiniteError(
                f"task {task}: loss {loss:g}, squared gradient norm {square:g}; taskforce takes "
                "finite losses that are not negative, and finite gradients"
            )


class PendingTransition(nn.Module):
    """Keeps a move until its outcome is seen, and then stores the transition.

    A task's first loss has none before it to be compared with, and adds nothing to a reward.

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
    seen_T: Tensor

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
            ("seen_T", (num_tasks,), torch.bool),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        self.register_load_state_dict_pre_hook(_count_all_as_seen)

    def with_absent(
        self, losses_S: Tensor, gram_SS: Tensor, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return losses and Gram matrix of all tasks.

        Tasks without labels keep their last loss, which then adds nothing to a reward, and have
        zeros in the Gram matrix.

        Args:
            losses_S: of the tasks that are present.
            gram_SS: theirs.
            present: numbers of these tasks, None if they are all.
        """
        if present is None:
            return losses_S, gram_SS
        losses_T = self.losses_T.clone()
        losses_T[present] = losses_S.double()
        gram_TT = gram_SS.new_zeros(len(losses_T), len(losses_T))
        gram_TT[present[:, None], present] = gram_SS
        return losses_T, gram_TT

    def start(
        self,
        observation_TO: Tensor,
        actions_T: Tensor,
        weights_T: Tensor,
        gram_TT: Tensor,
        losses_T: Tensor,
        active: Tensor,
    ) -> None:
        """Keep a move: what was seen and done, and what its reward will be computed from.

        ``active`` are the numbers of the tasks whose labels were there.
        """
        self.observation_TO.copy_(observation_TO)
        self.actions_T.copy_(actions_T)
        self.weights_T.copy_(weights_T)
        self.gram_TT.copy_(gram_TT)
        self.losses_T.copy_(losses_T)
        self.seen_T[active] = True

    def finish(self, observation_TO: Tensor, losses_T: Tensor) -> Reward:
        """Store the transition from the kept move to this observation and return its reward."""
        before_T = torch.where(self.seen_T, self.losses_T, losses_T)
        reward = self.rewards(before_T, losses_T, self.weights_T, self.gram_TT)
        self.replay.push(self.observation_TO, self.actions_T, reward.values, observation_TO)
        return reward


def _count_all_as_seen(
    pending: PendingTransition, state: dict[str, Any], prefix: str, *_: object
) -> None:
    """Let a run go on as it began from a checkpoint of a version that had no ``seen_T``."""
    state.setdefault(f"{prefix}seen_T", torch.ones_like(pending.seen_T))
