"""MATD3: the agents of TaskForce with what TD3 adds to DDPG.

Legend of shape suffixes: N agents, B transitions, M actions of one agent, I inputs.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from mtl_bench.methods.taskforce.agents import Agents
from mtl_bench.methods.taskforce.policies import NORM_MOMENTUM, AgentLosses
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions

SMOOTHING = 0.2
"""Deviation of the noise on the target actions, in units of the bound."""

SMOOTHING_LIMIT = 0.5
"""Where it is cut off, in the same units."""

DELAY = 2
"""Updates of the critics to one of the actors and the targets."""


class MATD3(Agents):
    """Twin critics, smoothed targets and delayed actors (Ackermann et al., 2019; Fujimoto, 2018).

    Each agent has two critics with targets of their own; both learn the smaller of the two target
    values, which the target policies' actions with a little noise are given. Actors ascend the
    first critic at every second update, and the targets follow then.

    Args:
        num_tasks: T.
        generator: draws the initial parameters and the smoothing noise.
        hidden_dim: width of the two hidden layers.
        learning_rate: of every Adam optimiser.
        **agents: the other arguments of ``Agents``.
    """

    updates: Tensor
    actor_loss: Tensor

    def __init__(
        self,
        num_tasks: int,
        generator: torch.Generator,
        *,
        hidden_dim: int,
        learning_rate: float,
        **agents: Any,  # noqa: ANN401 - of the base
    ) -> None:
        common: dict[str, Any] = {"hidden_dim": hidden_dim, "learning_rate": learning_rate}
        super().__init__(num_tasks, generator, **common, **agents)
        self.twins = self._make_critics(hidden_dim)
        self.target_twins = deepcopy(self.twins)
        self.add_adam("twin", self.twins.parameters(), learning_rate)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("actor_loss", torch.zeros((), dtype=torch.float64))

    def update(self, batch: AgentTransitions) -> AgentLosses:
        """Update all critics, and at every second call all actors and targets, from one batch.

        The actor loss is that of the latest update of the actors, 0 before the first.
        """
        self.updates += 1
        observed_BD = self._standardise_batch(batch.observations_BTO, NORM_MOMENTUM)
        played_NBM = self._split(batch.actions_BT)
        judged_NBI = self._judged(observed_BD, played_NBM)
        critic_loss = self._fit_critics(judged_NBI, self._targets(batch))
        if self.updates % DELAY == 0:
            loss = self._update_actors(self._seen(observed_BD), played_NBM, judged_NBI)
            self.actor_loss.fill_(loss)
            self._follow(self.target_twins, self.twins)
        return AgentLosses(critic_loss, self.actor_loss.item())

    def _next_actions(self, seen_NBI: Tensor) -> Tensor:
        actions_NBM = super()._next_actions(seen_NBI)
        bound = self.action_bound or 1.0
        noise_NBM = torch.randn(actions_NBM.shape, generator=self.generator).to(actions_NBM)
        limit = SMOOTHING_LIMIT * bound
        smoothed_NBM = actions_NBM + (SMOOTHING * bound * noise_NBM).clamp_(-limit, limit)
        return smoothed_NBM if self.action_bound is None else smoothed_NBM.clamp_(-bound, bound)

    def _next_values(self, judged_NBI: Tensor) -> Tensor:
        twins_NB = self.target_twins(judged_NBI).outputs_TB
        return torch.minimum(super()._next_values(judged_NBI), twins_NB)

    def _fit_critics(self, judged_NBI: Tensor, targets_NB: Tensor) -> float:
        first = super()._fit_critics(judged_NBI, targets_NB)
        return (first + self._fit("twin", self.twins, judged_NBI, targets_NB)) / 2
