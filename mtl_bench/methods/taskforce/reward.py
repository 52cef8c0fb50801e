"""What the agents are rewarded for. T tasks; everything is computed in float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_bench.methods.taskforce.gradient_rewards import AgentOutcome, find_reward


class Reward(NamedTuple):
    """The reward of one transition and its parts.

    Args:
        values: what the agents get: one number for all, shape (), or one of each task, (T,).
        loss: r_L, summed over the tasks.
        gradient: r_G.
    """

    values: Tensor
    loss: float
    gradient: float

    @property
    def mean(self) -> float:
        """The mean over the agents."""
        return self.values.mean().item()


NO_REWARD = Reward(torch.zeros((), dtype=torch.float64), 0.0, 0.0)


def loss_reward(before_T: Tensor, after_T: Tensor) -> float:
    """Return r_L, the drop of the summed log(1 + L) (Eq. 7).

    Args:
        before_T: task losses, not negative, of the transition's own observation.
        after_T: those of its next observation.
    """
    return (before_T.double().log1p().sum() - after_T.double().log1p().sum()).item()


def loss_decrease(before_T: Tensor, after_T: Tensor) -> Tensor:
    """Return every task's own drop of log(1 + L), (T,), the summands of ``loss_reward``."""
    return before_T.double().log1p() - after_T.double().log1p()


class Rewards:
    """R = lambda_L r_L + lambda_G r_G (Eq. 10), and its variants in the paper's ablation.

    Args:
        lambda_l: lambda_L.
        lambda_g: lambda_G.
        kind: which r_G, see ``find_reward``; "none" leaves r_L alone.
        own: every task gets its own drop of log(1 + L) in place of their sum r_L ("each loss
            reduction reward" of section 5.1); r_G, which belongs to no task, is the same for all.
    """

    def __init__(self, lambda_l: float, lambda_g: float, kind: str, own: bool) -> None:
        self.lambda_l = lambda_l
        self.lambda_g = lambda_g
        self.own = own
        self._gradient_reward = find_reward(kind)

    def __call__(
        self, before_T: Tensor, after_T: Tensor, weights_T: Tensor, gram_TT: Tensor
    ) -> Reward:
        """Return the reward of a transition.

        Args:
            before_T: task losses of the transition's own observation.
            after_T: those of its next observation.
            weights_T: w, the weights that the transition's actions led to.
            gram_TT: K, the inner products of the gradients that they were applied to.
        """
        loss = loss_reward(before_T, after_T)
        numbers = (weights_T, gram_TT, before_T, after_T)
        gradient = self._gradient_reward(AgentOutcome(*(part.double() for part in numbers))).item()
        drops = (
            loss_decrease(before_T, after_T)
            if self.own
            else torch.tensor(loss, dtype=torch.float64)
        )
        return Reward(self.lambda_l * drops + self.lambda_g * gradient, loss, gradient)
