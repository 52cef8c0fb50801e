"""A bandit for every agent: policy gradients without a future.

Legend of shape suffixes: T tasks, N agents, M actions of one agent, B transitions, D numbers that
all observe.
"""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from mtl_bench.agents.mlp_ensemble import MLPEnsemble
from mtl_bench.methods.taskforce.policies import NORM_MOMENTUM, AgentLosses, Policies
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions

EPOCHS = 10
"""Gradient steps on one batch."""

CLIP = 0.2
"""How far the ratio of probabilities may go from 1 and still have a gradient."""

INSIDE = 1 - 1e-6
"""Largest share of the bound whose raw action is still finite in float32."""


class Bandit(Policies):
    """Gaussian policies on the raw action, learned by PPO with gamma = 0 (Schulman et al., 2017).

    Agent t draws z_t ~ N(mu_t(o_t), sigma_t^2) and plays bound * tanh(z_t); sigma_t does not depend
    on the observation and is learned. A transition is worth its reward alone, less a baseline
    V_t(O). Every agent has the ratio of probabilities of its own action, and the advantages are
    standardised over the batch. A batch is used for ``EPOCHS`` steps and never again.

    Args:
        num_tasks: T.
        generator: draws the initial parameters and the actions.
        deviation: sigma at first.
        hidden_dim: width of the two hidden layers of policies and baselines.
        learning_rate: of every Adam optimiser.
        **policies: the other arguments of ``Policies``.
    """

    on_policy = True

    updates: Tensor

    def __init__(
        self,
        num_tasks: int,
        generator: torch.Generator,
        *,
        deviation: float,
        hidden_dim: int,
        learning_rate: float,
        **policies: Any,  # noqa: ANN401 - of the base
    ) -> None:
        common: dict[str, Any] = {"hidden_dim": hidden_dim, "learning_rate": learning_rate}
        super().__init__(num_tasks, generator, **common, **policies)
        self.baselines = MLPEnsemble(self.num_agents, self.everything, hidden_dim, generator)
        shape = (self.num_agents, 1, self.num_actions)
        log_std_N1M = torch.full(shape, log(deviation), dtype=torch.float32)
        self.log_std_N1M = nn.Parameter(log_std_N1M, requires_grad=False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.add_adam("critic", self.baselines.parameters(), learning_rate)
        self.add_adam("deviation", [self.log_std_N1M], learning_rate)

    def act(self, observation_TO: Tensor) -> Tensor:
        """Draw the (T,) actions."""
        means_N1M = self.outputs(observation_TO)
        noise_N1M = torch.randn(means_N1M.shape, generator=self.generator, dtype=torch.float32)
        return self._bounded(means_N1M + self.log_std_N1M.exp() * noise_N1M).flatten()

    def update(self, batch: AgentTransitions) -> AgentLosses:
        """Learn from the latest transitions and return the losses of the last step.

        Observations are normalised as they were when the actions were drawn; their statistics are
        taken in afterwards, the first in full.

        Args:
            batch: transitions of the present policies in their order, with standardised rewards.
                Under ``transition=next_batch`` the first action was drawn before the last update.
        """
        observed_BD = self._standardise(batch.observations_BTO)
        seen_NBI = self._seen(observed_BD)
        shown_NBD = observed_BD.expand(self.num_agents, -1, -1)
        raw_NBM = self._raw(self._split(batch.actions_BT))
        rewards = batch.rewards.movedim(0, -1)  # (B,) for all agents, or (N, B)
        advantages_NB = rewards - self.baselines(shown_NBD).outputs_TB
        advantages_NB = advantages_NB - advantages_NB.mean(1, keepdim=True)
        spread_N1 = advantages_NB.std(1, correction=0, keepdim=True)
        advantages_NB = advantages_NB / torch.where(spread_N1 > 0, spread_N1, 1.0)
        before_NB = self._log_probs(raw_NBM, self.actors(seen_NBI).outputs_TBM)
        for _ in range(EPOCHS):
            critic = self._fit("critic", self.baselines, shown_NBD, rewards)
            actor = self._update_policies(seen_NBI, raw_NBM, before_NB, advantages_NB)
        self.updates += 1
        momentum = max(NORM_MOMENTUM, 1 / self.updates.item())
        self._standardise_batch(batch.observations_BTO, momentum)
        return AgentLosses(critic, actor)

    def _update_policies(
        self, seen_NBI: Tensor, raw_NBM: Tensor, before_NB: Tensor, advantages_NB: Tensor
    ) -> float:
        """Ascend mean min(r A, clip(r) A) and return minus it, plus the penalty."""
        run = self.actors(seen_NBI)
        means_NBM = run.outputs_TBM
        size = means_NBM.shape[1]
        ratios_NB = (self._log_probs(raw_NBM, means_NBM) - before_NB).exp()
        clipped_NB = ratios_NB.clamp(1 - CLIP, 1 + CLIP)
        gains_NB = torch.minimum(ratios_NB * advantages_NB, clipped_NB * advantages_NB)
        unclipped_NB = ratios_NB * advantages_NB <= clipped_NB * advantages_NB
        slopes_NB1 = (unclipped_NB * ratios_NB * advantages_NB / size).unsqueeze(2)
        errors_NBM = (raw_NBM - means_NBM) * (-self.log_std_N1M).exp()
        gradient_NBM = -slopes_NB1 * errors_NBM * (-self.log_std_N1M).exp()
        penalty, penalty_NBM = self._penalise(means_NBM)
        gradient_NP = self.actors.parameter_gradients(run, gradient_NBM + penalty_NBM)
        self._descend("actor", self.actors, gradient_NP)
        self.log_std_N1M.grad = -(slopes_NB1 * (errors_NBM.square() - 1)).sum(1, keepdim=True)
        self.optimizers["deviation"].step()
        self.log_std_N1M.grad = None
        return penalty - gains_NB.mean().item()

    def _raw(self, actions_NBM: Tensor) -> Tensor:
        """Return the draws that the actions were made of."""
        if self.action_bound is None:
            return actions_NBM
        return (actions_NBM / self.action_bound).clamp(-INSIDE, INSIDE).atanh()

    def _log_probs(self, raw_NBM: Tensor, means_NBM: Tensor) -> Tensor:
        """Return the agents' log densities, (N, B), up to a constant."""
        errors_NBM = (raw_NBM - means_NBM) * (-self.log_std_N1M).exp()
        return -(errors_NBM.square() / 2 + self.log_std_N1M).sum(2)
