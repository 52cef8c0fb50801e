"""What critics and policy of a soft actor-critic descend.

Legend of shape suffixes: T tasks, B samples of a task, E critics, O observation numbers, A action
numbers, I = O + A numbers that a critic sees, M = 2A numbers that a policy answers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from mtl_bench.algorithms.sac.episode_replay import Transitions
from mtl_bench.algorithms.sac.gradients import Network
from mtl_bench.algorithms.sac.temperature import Temperatures
from mtl_bench.architectures.control.base import ControlNetwork
from mtl_bench.architectures.control.policy import LogStd, sample_actions


class CriticData(NamedTuple):
    """What the critics learn from: transitions and their values, without a graph."""

    inputs_TBI: Tensor
    targets_TB: Tensor


class ActorData(NamedTuple):
    """What the policy learns from: observations, and the noise of its actions."""

    observations_TBO: Tensor
    noise_TBA: Tensor


class Objectives:
    """The losses of critics and policy, see ``MultiTaskSAC``.

    Args:
        policy: (s) -> mean and logarithmic deviation of the actions.
        critics: (s, a) -> Q_i.
        slow_critics: (s, a) -> Q'_i.
        temperatures: α.
        gamma: γ.
        log_std: how the logarithm of the policy's deviation is kept within its bounds.
        log_std_bounds: the least and the greatest.
        weighted: whether task t's losses are multiplied by T softmax(-log α)_t, which is 1 if α is
            shared.
    """

    def __init__(
        self,
        policy: ControlNetwork,
        critics: ControlNetwork,
        slow_critics: ControlNetwork,
        temperatures: Temperatures,
        gamma: float,
        log_std: LogStd,
        log_std_bounds: tuple[float, float],
        weighted: bool,
    ) -> None:
        self.policy, self.critics, self.slow_critics = policy, critics, slow_critics
        self.temperatures, self.gamma, self.weighted = temperatures, gamma, weighted
        self.log_std, self.log_std_bounds = log_std, log_std_bounds
        self._fixed: dict[str, Tensor] = {}

    def sample(
        self, policy: Network, observations_TBO: Tensor, noise_TBA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return actions and their log π."""
        outputs_TBM = policy(observations_TBO)[0]
        return sample_actions(outputs_TBM, noise_TBA, self.log_std_bounds, self.log_std)

    @torch.no_grad()
    def targets(self, batch: Transitions, noise_TBA: Tensor) -> Tensor:
        """Return y of every transition, (T, B)."""
        actions_TBA, log_probs_TB = self.sample(self.policy, batch.next_TBO, noise_TBA)
        inputs_TBI = torch.cat((batch.next_TBO, actions_TBA), dim=2)
        values_TB = self.slow_critics(inputs_TBI).amin(dim=0).squeeze(2)
        soft_TB = values_TB - self.temperatures.alpha_T1 * log_probs_TB
        return batch.rewards_TB + self.gamma * soft_TB

    def critic_losses(self, critics: Network, data: CriticData) -> tuple[Tensor, Tensor]:
        """Return the critics' losses, weighted and not, (T,) each."""
        values_ETB = critics(data.inputs_TBI).squeeze(3)
        losses_T = (values_ETB - data.targets_TB).square().mean(dim=2).sum(dim=0)
        return self._weighted(losses_T), losses_T.detach()

    def actor_losses(self, policy: Network, data: ActorData) -> tuple[Tensor, Tensor]:
        """Return the policy's losses, (T,), under the critics last fixed, and log π, (T, B)."""
        actions_TBA, log_probs_TB = self.sample(policy, *data)
        inputs_TBI = torch.cat((data.observations_TBO, actions_TBA), dim=2)
        critics_ETB1: Tensor = functional_call(
            self.critics, self._fixed_in(inputs_TBI.dtype), (inputs_TBI,)
        )
        values_TB = critics_ETB1.amin(dim=0).squeeze(2)
        losses_T = (self.temperatures.alpha_T1 * log_probs_TB - values_TB).mean(dim=1)
        return self._weighted(losses_T), log_probs_TB.detach()

    def fix_critics(self, *, copied: bool = False) -> None:
        """Let the policy learn from the critics as they are, and no gradient reach them.

        Args:
            copied: as they are now, whatever becomes of them before the policy's update.
        """
        fixed = {name: p.detach() for name, p in self.critics.named_parameters()}
        self._fixed = {name: p.clone() for name, p in fixed.items()} if copied else fixed

    def _weighted(self, losses_T: Tensor) -> Tensor:
        if not self.weighted:
            return losses_T
        log_alpha_T = self.temperatures.log_alpha.detach()
        return losses_T * (len(log_alpha_T) * (-log_alpha_T).softmax(dim=0))

    def _fixed_in(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the fixed critics' parameters and buffers in a precision."""
        state = {**self._fixed, **dict(self.critics.named_buffers())}
        return {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in state.items()
        }
