"""The actors and critics of TaskForce (MADDPG; Lowe et al., 2017) and of its ablations.

Legend of shape suffixes: T tasks, N actors and as many critics (T, or one for all tasks), M = T / N
actions of one actor, B transitions, O = T + 1 numbers that one task's agent observes, D = T O
numbers that all observe, H hidden units, P parameters of one network.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_bench.agents.mlp_ensemble import MLPEnsemble, finish, sum_gradients
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions

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

    The earlier steps of the paper's ablation (appendix A) are here too: actors that see all rows
    (``policy_input`` "global"), critics Q_t(O, a_t) that see one action (``critic`` "own"), and
    one agent for all tasks (``agents`` "single"), which is DDPG (Lillicrap et al., 2015): one actor
    from O to T actions and one critic Q(O, A).

    Actions enter the critics as they are, as in the original DDPG and unlike that implementation:
    the statistics of a batch-normalised action would include the policy's own actions, the critic
    could not see their mean, and the policy gradient could never move it, which is all that tells
    one task weight from another.

    Batch-normalisation is per column, and every network that reads a column in an update reads it
    from the same batch. So the columns are normalised once for all networks, and the only running
    statistics that are ever read are those of the observations, for acting.

    Args:
        num_tasks: T.
        generator: draws the initial parameters.
        agents: one agent per task, or a single one.
        critic: whether a critic sees all actions or those of its own agent.
        policy_input: whether an actor sees its own row or all.
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
        num_tasks: int,
        generator: torch.Generator,
        *,
        agents: Literal["single", "multi"] = "multi",
        critic: Literal["own", "joint"] = "joint",
        policy_input: Literal["global", "local"] = "local",
        hidden_dim: int,
        action_bound: float | None,
        learning_rate: float,
        tau: float,
        gamma: float,
        grad_clip: float,
        action_penalty: float,
    ) -> None:
        super().__init__()
        self.num_agents = num_tasks if agents == "multi" else 1
        self.num_actions = num_tasks // self.num_agents
        self.joint_critics = critic == "joint"
        self.local_policies = policy_input == "local"
        self.action_bound = action_bound
        self.tau = tau
        self.gamma = gamma
        self.grad_clip = grad_clip
        self.action_penalty = action_penalty
        observed = num_tasks + 1
        everything = num_tasks * observed
        self.actors = MLPEnsemble(
            self.num_agents,
            observed if self.local_policies else everything,
            hidden_dim,
            generator,
            ACTOR_OUTPUT_BOUND,
            output_dim=self.num_actions,
        )
        judged = num_tasks if self.joint_critics else self.num_actions
        self.critics = MLPEnsemble(self.num_agents, everything + judged, hidden_dim, generator)
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
        return self._bounded(self.actors(self._seen(normalized_1D)).outputs_TBM).flatten()

    def update(self, batch: AgentTransitions) -> AgentLosses:
        """Update all critics, then all actors, then the target networks, from one batch.

        Args:
            batch: sampled transitions with standardised rewards, one for all agents or one for
                each. There is no terminal state: the value of the next observation always counts.
        """
        observed_BD = F.batch_norm(
            batch.observations_BTO.flatten(1),
            self.running_mean_D,
            self.running_var_D,
            training=True,
            momentum=NORM_MOMENTUM,
            eps=NORM_EPS,
        )
        played_NBM = batch.actions_BT.unflatten(1, (self.num_agents, self.num_actions))
        played_NBM = played_NBM.transpose(0, 1)
        judged_NBI = self._judged(observed_BD, played_NBM)
        critic_loss = self._update_critics(batch, judged_NBI)
        actor_loss = self._update_actors(self._seen(observed_BD), played_NBM, judged_NBI)
        self.target_actors.flat_TP.lerp_(self.actors.flat_TP, self.tau)
        self.target_critics.flat_TP.lerp_(self.critics.flat_TP, self.tau)
        return AgentLosses(critic_loss, actor_loss)

    def _update_critics(self, batch: AgentTransitions, judged_NBI: Tensor) -> float:
        """Descend the TD loss (Eq. 11) and return its mean over the agents."""
        next_BD = F.batch_norm(
            batch.next_observations_BTO.flatten(1), None, None, training=True, eps=NORM_EPS
        )
        next_NBM = self._bounded(self.target_actors(self._seen(next_BD)).outputs_TBM)
        values_NB = self.target_critics(self._judged(next_BD, next_NBM)).outputs_TB
        rewards = batch.rewards.movedim(0, -1)  # (B,) for all agents, or (N, B)
        run = self.critics(judged_NBI)
        errors_NB = run.outputs_TB - (rewards + self.gamma * values_NB)
        gradient_NBM = (errors_NB * (2 / errors_NB.shape[1])).unsqueeze(2)
        gradient_NP = self.critics.parameter_gradients(run, gradient_NBM)
        self._descend(self.critics, gradient_NP, self._critic_optimizer)
        return errors_NB.square().mean().item()

    def _update_actors(self, seen_NBI: Tensor, played_NBM: Tensor, judged_NBI: Tensor) -> float:
        """Ascend the critics (Eq. 12) and return the mean of the agents' actor losses.

        In the input of critic n only agent n's actions are the policy's, the others are the
        batch's. Few columns then differ from the batch, so their contribution is added to the first
        layer instead of making N copies of the input.
        """
        run = self.actors(seen_NBI)
        actions_NBM = self._bounded(run.outputs_TBM)
        layers = self.critics.view(self.critics.flat_TP)
        columns_NMH = self._own_columns(layers.weight1_TIH)
        sums_NBH = torch.baddbmm(layers.bias1_T1H, judged_NBI, layers.weight1_TIH)
        sums_NBH.baddbmm_(actions_NBM - played_NBM, columns_NMH)
        critics_run = finish(layers, judged_NBI, sums_NBH)

        size = actions_NBM.shape[1]
        values_gradient_NB1 = torch.full_like(critics_run.outputs_TBM, -1 / size)
        sums1_NBH, _ = sum_gradients(critics_run, values_gradient_NB1)
        gradient_NBM = torch.bmm(sums1_NBH, columns_NMH.mT)
        gradient_NBM.add_(actions_NBM, alpha=2 * self.action_penalty / (size * self.num_actions))
        if self.action_bound is not None:  # d/dz of bound tanh(z)
            gradient_NBM.mul_(self.action_bound - actions_NBM.square() / self.action_bound)
        gradient_NP = self.actors.parameter_gradients(run, gradient_NBM)
        self._descend(self.actors, gradient_NP, self._actor_optimizer)
        penalty = self.action_penalty * actions_NBM.square().mean()
        return (penalty - critics_run.outputs_TBM.mean()).item()

    def _seen(self, observed_BD: Tensor) -> Tensor:
        """Return the actors' input, (N, B, O) or (N, B, D): their own rows or all of them."""
        if self.local_policies:
            return observed_BD.unflatten(1, (self.num_agents, -1)).transpose(0, 1)
        return observed_BD.expand(self.num_agents, -1, -1)

    def _judged(self, observed_BD: Tensor, actions_NBM: Tensor) -> Tensor:
        """Return the critics' input: all rows, and all actions or those of the own agent.

        (N, B, D + T), one tensor seen N times, or (N, B, D + M).
        """
        if self.joint_critics:
            actions_BT = actions_NBM.transpose(0, 1).flatten(1)
            return torch.cat([observed_BD, actions_BT], dim=1).expand(self.num_agents, -1, -1)
        return torch.cat([observed_BD.expand(self.num_agents, -1, -1), actions_NBM], dim=2)

    def _own_columns(self, weight1_NIH: Tensor) -> Tensor:
        """Return the critics' first weights of their own agent's actions, (N, M, H)."""
        actions_first = self.running_mean_D.numel()  # where the actions begin among the inputs
        weights_NAH = weight1_NIH[:, actions_first:]
        if not self.joint_critics:
            return weights_NAH
        weights_NNMH = weights_NAH.unflatten(1, (self.num_agents, self.num_actions))
        return weights_NNMH.diagonal(dim1=0, dim2=1).permute(2, 0, 1)

    def _bounded(self, outputs_NBM: Tensor) -> Tensor:
        """Return the actions that belong to the actors' outputs."""
        return outputs_NBM if self.action_bound is None else self.action_bound * outputs_NBM.tanh()

    def _descend(
        self, networks: MLPEnsemble, gradient_TP: Tensor, optimizer: torch.optim.Adam
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
