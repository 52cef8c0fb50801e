"""The T actors and T centralised critics of TaskForce (MADDPG; Lowe et al., 2017).

Legend of shape suffixes: T agents, B transitions, O = T + 1 numbers that one agent observes,
D = T O numbers that all observe, H hidden units, P parameters of one network.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_bench.taskforce.networks import StackedMLP, finish, sum_gradients
from mtl_bench.taskforce.replay import Transitions

ACTOR_OUTPUT_BOUND = 3e-3
NORM_MOMENTUM = 0.1
NORM_EPS = 1e-5


class AgentLosses(NamedTuple):
    """Critic and actor loss of one update, averaged over the agents."""

    critic: float
    actor: float


class Agents(nn.Module):
    """T agents with an actor mu_t(o_t) and a critic Q_t(O, A) each, and their target networks.

    Actor t sees its own row of the observation (decentralised execution); critic t sees all rows
    and all actions (centralised training). What the paper leaves open follows the conventions of
    the public MADDPG implementation: observations are batch-normalised without affine parameters,
    the actor's output layer starts in U(-0.003, 0.003), gradients are clipped per agent, and the
    squared actions are penalised.

    Actions enter the critics as they are, as in the original DDPG (Lillicrap et al., 2015) and
    unlike that implementation: the statistics of a batch-normalised action would include the
    policy's own actions, the critic could not see their mean, and the policy gradient could never
    move it, which is all that tells one task weight from another.

    Batch-normalisation is per column, and every network that reads a column in an update reads it
    from the same batch. So the columns are normalised once for all networks, and the only running
    statistics that are ever read are those of the observations, for acting.

    Args:
        num_agents: T.
        generator: draws the initial parameters.
        hidden_dim: H.
        action_bound: actions are tanh times this; None leaves them unbounded.
        learning_rate: of both Adam optimisers.
        tau: share of the online parameters in a soft target update.
        gamma: discount.
        grad_clip: largest gradient norm of one actor or critic.
        action_penalty: factor of the mean squared action in the actor loss.
    """

    running_mean_D: Tensor
    running_var_D: Tensor

    def __init__(
        self,
        num_agents: int,
        generator: torch.Generator,
        *,
        hidden_dim: int,
        action_bound: float | None,
        learning_rate: float,
        tau: float,
        gamma: float,
        grad_clip: float,
        action_penalty: float,
    ) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.action_bound = action_bound
        self.tau = tau
        self.gamma = gamma
        self.grad_clip = grad_clip
        self.action_penalty = action_penalty
        observed = num_agents + 1
        everything = num_agents * observed
        self.actors = StackedMLP(num_agents, observed, hidden_dim, generator, ACTOR_OUTPUT_BOUND)
        self.critics = StackedMLP(num_agents, everything + num_agents, hidden_dim, generator)
        self.target_actors = deepcopy(self.actors)
        self.target_critics = deepcopy(self.critics)
        self.register_buffer("running_mean_D", torch.zeros(everything, dtype=torch.float32))
        self.register_buffer("running_var_D", torch.ones(everything, dtype=torch.float32))
        self._actor_optimizer, self._critic_optimizer = (
            torch.optim.Adam(networks.parameters(), lr=learning_rate, fused=True)
            for networks in (self.actors, self.critics)
        )

    def act(self, observation_TO: Tensor) -> Tensor:
        """Return the (T,) actions of the present policies, without noise."""
        normalized_1D = F.batch_norm(
            observation_TO.reshape(1, -1), self.running_mean_D, self.running_var_D, eps=NORM_EPS
        )
        outputs_TB = self.actors(self._local(normalized_1D)).outputs_TB
        return self._bounded(outputs_TB).squeeze(1)

    def update(self, batch: Transitions) -> AgentLosses:
        """Update all critics, then all actors, then the target networks, from one batch.

        Args:
            batch: sampled transitions with standardised rewards. There is no terminal state: the
                value of the next observation always counts.
        """
        observed_BD = F.batch_norm(
            batch.observations_BTO.flatten(1),
            self.running_mean_D,
            self.running_var_D,
            training=True,
            momentum=NORM_MOMENTUM,
            eps=NORM_EPS,
        )
        joint_TBI = self._joint(observed_BD, batch.actions_BT)
        critic_loss = self._update_critics(batch, joint_TBI)
        actor_loss = self._update_actors(batch, self._local(observed_BD), joint_TBI)
        self.target_actors.flat_TP.lerp_(self.actors.flat_TP, self.tau)
        self.target_critics.flat_TP.lerp_(self.critics.flat_TP, self.tau)
        return AgentLosses(critic_loss, actor_loss)

    def _update_critics(self, batch: Transitions, joint_TBI: Tensor) -> float:
        """Descend the TD loss (Eq. 11) and return its mean over the agents."""
        next_BD = F.batch_norm(
            batch.next_observations_BTO.flatten(1), None, None, training=True, eps=NORM_EPS
        )
        next_TB = self._bounded(self.target_actors(self._local(next_BD)).outputs_TB)
        values_TB = self.target_critics(self._joint(next_BD, next_TB.T)).outputs_TB
        run = self.critics(joint_TBI)
        errors_TB = run.outputs_TB - (batch.rewards_B + self.gamma * values_TB)
        gradient_TP = self.critics.parameter_gradients(run, errors_TB * (2 / errors_TB.shape[1]))
        self._descend(self.critics, gradient_TP, self._critic_optimizer)
        return errors_TB.square().mean().item()

    def _update_actors(self, batch: Transitions, local_TBO: Tensor, joint_TBI: Tensor) -> float:
        """Ascend the critics (Eq. 12) and return the mean of the agents' actor losses.

        In the input of critic t only agent t's action is the policy's, the others are the batch's.
        One column then differs from the batch, so its contribution is added to the first layer
        instead of making T copies of the input.
        """
        run = self.actors(local_TBO)
        actions_TB = self._bounded(run.outputs_TB)
        layers = self.critics.view(self.critics.flat_TP)
        actions_first = -self.num_agents  # where the actions begin among the inputs
        columns_T1H = layers.weight1_TIH[:, actions_first:].diagonal().mT.unsqueeze(1)
        sums_TBH = torch.baddbmm(layers.bias1_T1H, joint_TBI, layers.weight1_TIH)
        sums_TBH.baddbmm_((actions_TB - batch.actions_BT.T).unsqueeze(2), columns_T1H)
        critics_run = finish(layers, joint_TBI, sums_TBH)

        size = actions_TB.shape[1]
        values_gradient_TB = torch.full_like(actions_TB, -1 / size)
        sums1_TBH, _ = sum_gradients(critics_run, values_gradient_TB)
        gradient_TB = torch.bmm(sums1_TBH, columns_T1H.mT).squeeze(2)
        gradient_TB.add_(actions_TB, alpha=2 * self.action_penalty / size)
        if self.action_bound is not None:  # d/dz of bound tanh(z)
            gradient_TB.mul_(self.action_bound - actions_TB.square() / self.action_bound)
        gradient_TP = self.actors.parameter_gradients(run, gradient_TB)
        self._descend(self.actors, gradient_TP, self._actor_optimizer)
        penalty = self.action_penalty * actions_TB.square().mean()
        return (penalty - critics_run.outputs_TB.mean()).item()

    def _local(self, observed_BD: Tensor) -> Tensor:
        """Return the actors' input, (T, B, O): agent t reads its own O columns."""
        return observed_BD.unflatten(1, (self.num_agents, self.num_agents + 1)).transpose(0, 1)

    def _joint(self, observed_BD: Tensor, actions_BT: Tensor) -> Tensor:
        """Return the critics' input, (T, B, D + T), one tensor seen T times."""
        return torch.cat([observed_BD, actions_BT], dim=1).expand(self.num_agents, -1, -1)

    def _bounded(self, outputs_TB: Tensor) -> Tensor:
        """Return the actions that belong to the actors' outputs."""
        return outputs_TB if self.action_bound is None else self.action_bound * outputs_TB.tanh()

    def _descend(
        self, networks: StackedMLP, gradient_TP: Tensor, optimizer: torch.optim.Adam
    ) -> None:
        """Take one optimiser step, with the gradient of each agent clipped by its own norm."""
        norms_T1 = torch.linalg.vector_norm(gradient_TP, dim=1, keepdim=True)
        networks.flat_TP.grad = gradient_TP.mul_((self.grad_clip / (norms_T1 + 1e-6)).clamp_(max=1))
        optimizer.step()
        networks.flat_TP.grad = None

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of both optimisers."""
        return {
            "actor_optimizer": self._actor_optimizer.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        state = deepcopy(state)  # the optimisers would go on writing into the loaded tensors
        self._actor_optimizer.load_state_dict(state["actor_optimizer"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])
