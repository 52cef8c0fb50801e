"""Soft actor-critic over task weights (Haarnoja et al., 2018).

Legend of shape suffixes: B transitions, T tasks, C = 2 critics, I = 2T numbers that a critic sees.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_bench.agents.exploration import Temperature
from mtl_bench.agents.mlp_ensemble import Learner, MLPEnsemble
from mtl_bench.agents.ring import RingBuffer
from mtl_bench.methods.igbv2.policy import Actor, LogProb

CRITICS = 2


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


class UpdateMetrics(NamedTuple):
    """Critic loss (mean of the two), actor loss and entropy of the policy in one update."""

    critic_loss: float
    actor_loss: float
    entropy: float


class SoftActorCritic(Learner):
    """A stochastic actor, two critics with targets, and a temperature.

    The critics see the weights w, since what follows depends on the scores through them alone.

    Args:
        num_tasks: T.
        generator: draws the initial parameters.
        hidden_dim: width of the two hidden layers of every network.
        learning_rate: of all three Adam optimisers.
        gamma: discount; there is no terminal state.
        tau: share of the online critics in a soft target update.
        initial_alpha: temperature at first; the target entropy is -T.
        log_prob: see ``policy.log_probs``.
    """

    def __init__(
        self,
        num_tasks: int,
        generator: torch.Generator,
        *,
        hidden_dim: int,
        learning_rate: float,
        gamma: float,
        tau: float,
        initial_alpha: float,
        log_prob: LogProb,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.tau = tau
        self.actor = Actor(num_tasks, hidden_dim, log_prob, generator)
        self.critics = MLPEnsemble(CRITICS, 2 * num_tasks, hidden_dim, generator)
        self.target_critics = deepcopy(self.critics)
        self.temperature = Temperature(initial_alpha, -num_tasks, learning_rate)
        self.add_adam("actor", self.actor.parameters(), learning_rate)
        self.add_adam("critic", self.critics.parameters(), learning_rate)

    def act(self, losses_T: Tensor, generator: torch.Generator) -> Tensor:
        """Draw task weights, shape (T,), sum T."""
        with torch.no_grad():
            return self.actor.sample(losses_T.float()[None], generator).weights_BT[0]

    def update(self, batch: LossTransitions, generator: torch.Generator) -> UpdateMetrics:
        """Update the critics, the actor, the temperature and the target critics, in this order."""
        alpha = self.temperature.value()
        critic_loss = self._update_critics(batch, alpha, generator)
        actor_loss, entropy = self._update_actor(batch, alpha, generator)
        self.temperature.update(entropy)
        self.target_critics.flat_TP.lerp_(self.critics.flat_TP, self.tau)
        return UpdateMetrics(critic_loss, actor_loss, entropy)

    def _update_critics(
        self, batch: LossTransitions, alpha: float, generator: torch.Generator
    ) -> float:
        """Descend the squared error of both critics and return its mean."""
        with torch.no_grad():
            following = self.actor.sample(batch.next_losses_BT, generator)
        inputs_CBI = _inputs(batch.next_losses_BT, following.weights_BT)
        values_B = self.target_critics(inputs_CBI).outputs_TB.amin(dim=0)
        soft_values_B = values_B - alpha * following.log_probs_B
        run = self.critics(_inputs(batch.losses_BT, batch.weights_BT))
        errors_CB = run.outputs_TB - (batch.rewards_B + self.gamma * soft_values_B)
        self.critics.flat_TP.grad = self.critics.parameter_gradients(
            run, (errors_CB * (2 / errors_CB.shape[1])).unsqueeze(2)
        )
        self.optimizers["critic"].step()
        self.critics.flat_TP.grad = None
        return errors_CB.square().mean().item()

    def _update_actor(
        self, batch: LossTransitions, alpha: float, generator: torch.Generator
    ) -> tuple[float, float]:
        """Descend E[alpha log pi - min Q] and return it with the entropy before the step."""
        own = self.actor.sample(batch.losses_BT, generator)
        values_B = self.critics(_inputs(batch.losses_BT, own.weights_BT)).outputs_TB.amin(dim=0)
        loss = (alpha * own.log_probs_B - values_B).mean()
        loss.backward()  # only the actor's parameters ask for gradients
        self.optimizers["actor"].step()
        self.optimizers["actor"].zero_grad()
        return loss.item(), -own.log_probs_B.detach().mean().item()


def _inputs(losses_BT: Tensor, weights_BT: Tensor) -> Tensor:
    """Return the critics' input, (C, B, I), one tensor seen C times."""
    return torch.cat([losses_BT, weights_BT], dim=1).expand(CRITICS, -1, -1)
