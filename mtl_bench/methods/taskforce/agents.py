"""The actors and critics of TaskForce (MADDPG; Lowe et al., 2017) and of its ablations.

Legend of shape suffixes: T tasks, N actors and as many critics (T, or one for all tasks), M = T / N
actions of one actor, B transitions, O = T + 1 numbers that one task's agent observes, D = T O
numbers that all observe, H hidden units, P parameters of one network.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_bench.agents.mlp_ensemble import MLPEnsemble, finish, sum_gradients
from mtl_bench.agents.normalized_ensemble import NormalizedMLPEnsemble
from mtl_bench.methods.taskforce.policies import NORM_EPS, NORM_MOMENTUM, AgentLosses, Policies
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions


class Agents(Policies):
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
    the statistics of a batch-normalised action include the policy's own actions, the critic can't
    see their mean, and the policy gradient can't move it, which is all that tells one task weight
    from another. ``critic_inputs`` "batch_norm" is that implementation's way, with a learned scale
    and shift; "layer_norm" normalises each row of all that a critic sees.

    Batch-normalisation is per column, and every network that reads a column in an update reads it
    from the same batch. So the columns are normalised once for all networks, and the only running
    statistics that are ever read are those of the observations, for acting.

    Args:
        num_tasks: T.
        generator: see ``Policies``, as of ``policies``.
        agents: one agent per task, or a single one.
        critic: whether a critic sees all actions or those of its own agent.
        policy_input: whether an actor sees its own row or all.
        critic_inputs: what happens to them beyond the batch-normalised observations.
        hidden_dim: H.
        action_bound: actions are tanh times this; None leaves them unbounded.
        tau: share of the online parameters in a soft target update.
        gamma: discount.
        learning_rate: of every Adam optimiser.
        **policies: the other arguments of ``Policies``.
    """

    def __init__(
        self,
        num_tasks: int,
        generator: torch.Generator,
        *,
        agents: Literal["single", "multi"] = "multi",
        critic: Literal["own", "joint"] = "joint",
        policy_input: Literal["global", "local"] = "local",
        critic_inputs: Literal["raw", "batch_norm", "layer_norm"] = "raw",
        hidden_dim: int,
        action_bound: float | None,
        learning_rate: float,
        tau: float,
        gamma: float,
        **policies: Any,  # noqa: ANN401 - of the base
    ) -> None:
        super().__init__(
            num_tasks,
            generator,
            agents=agents,
            policy_input=policy_input,
            hidden_dim=hidden_dim,
            action_bound=action_bound,
            learning_rate=learning_rate,
            **policies,
        )
        self.joint_critics = critic == "joint"
        self.critic_inputs = critic_inputs
        self.tau = tau
        self.gamma = gamma
        self.critics = self._make_critics(hidden_dim)
        self.target_actors = deepcopy(self.actors)
        self.target_critics = deepcopy(self.critics)
        self.add_adam("critic", self.critics.parameters(), learning_rate)

    def _make_critics(self, hidden_dim: int) -> MLPEnsemble:
        actions = self.num_actions * (self.num_agents if self.joint_critics else 1)
        shape = (self.num_agents, self.everything + actions, hidden_dim, self.generator)
        if self.critic_inputs == "raw":
            return MLPEnsemble(*shape)
        first = 0 if self.critic_inputs == "layer_norm" else self.everything
        return NormalizedMLPEnsemble(*shape, self.critic_inputs, first)

    def act(self, observation_TO: Tensor) -> Tensor:
        """Return the (T,) actions of the present policies, without noise."""
        return self._bounded(self.outputs(observation_TO)).flatten()

    def update(self, batch: AgentTransitions) -> AgentLosses:
        """Update all critics, then all actors, then the target networks, from one batch.

        Args:
            batch: sampled transitions with standardised rewards, one for all agents or one for
                each. There is no terminal state: the value of the next observation always counts.
        """
        observed_BD = self._standardise_batch(batch.observations_BTO, NORM_MOMENTUM)
        played_NBM = self._split(batch.actions_BT)
        judged_NBI = self._judged(observed_BD, played_NBM)
        critic_loss = self._fit_critics(judged_NBI, self._targets(batch))
        actor_loss = self._update_actors(self._seen(observed_BD), played_NBM, judged_NBI)
        return AgentLosses(critic_loss, actor_loss)

    def _targets(self, batch: AgentTransitions) -> Tensor:
        """Return what the critics are to say, (N, B) (Eq. 11)."""
        next_BD = F.batch_norm(
            batch.next_observations_BTO.flatten(1), None, None, training=True, eps=NORM_EPS
        )
        next_NBM = self._next_actions(self._seen(next_BD))
        values_NB = self._next_values(self._judged(next_BD, next_NBM))
        rewards = batch.rewards.movedim(0, -1)  # (B,) for all agents, or (N, B)
        return rewards + self.gamma * values_NB

    def _next_actions(self, seen_NBI: Tensor) -> Tensor:
        """Return the target policies' answers, (N, B, M)."""
        return self._bounded(self.target_actors(seen_NBI).outputs_TBM)

    def _next_values(self, judged_NBI: Tensor) -> Tensor:
        """Return what the target critics say, (N, B)."""
        return self.target_critics(judged_NBI).outputs_TB

    def _fit_critics(self, judged_NBI: Tensor, targets_NB: Tensor) -> float:
        """Descend the critics' squared error and return its mean over the agents."""
        return self._fit("critic", self.critics, judged_NBI, targets_NB)

    def _update_actors(self, seen_NBI: Tensor, played_NBM: Tensor, judged_NBI: Tensor) -> float:
        """Ascend the critics (Eq. 12), let all targets follow, and return the mean actor loss."""
        run = self.actors(seen_NBI)
        actions_NBM = self._bounded(run.outputs_TBM)
        values_NBM, gradient_NBM = self._judge(judged_NBI, played_NBM, actions_NBM)
        size = actions_NBM.shape[1]
        factor = 2 * self.action_penalty / (size * self.num_actions)
        if not self.penalise_raw:
            gradient_NBM.add_(actions_NBM, alpha=factor)
        if self.action_bound is not None:  # d/dz of bound tanh(z)
            gradient_NBM.mul_(self.action_bound - actions_NBM.square() / self.action_bound)
        if self.penalise_raw:
            gradient_NBM.add_(run.outputs_TBM, alpha=factor)
        gradient_NP = self.actors.parameter_gradients(run, gradient_NBM)
        penalised_NBM = run.outputs_TBM if self.penalise_raw else actions_NBM
        penalty = self.action_penalty * penalised_NBM.square().mean()
        self._descend("actor", self.actors, gradient_NP)
        self._follow(self.target_actors, self.actors)
        self._follow(self.target_critics, self.critics)
        return (penalty - values_NBM.mean()).item()

    def _judge(
        self, judged_NBI: Tensor, played_NBM: Tensor, actions_NBM: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the values of the policies' actions and the gradient of minus their means.

        In the input of critic n only agent n's actions are the policy's, the others are the
        batch's. Few columns then differ from the batch, so their contribution is added to the first
        layer instead of making N copies of the input; only a normalisation has to see them all.
        """
        values_gradient_NB1 = torch.full_like(actions_NBM[..., :1], -1 / actions_NBM.shape[1])
        if self.critic_inputs != "raw":
            mixed_NBI = judged_NBI.clone()
            self._own_columns(mixed_NBI).copy_(actions_NBM)
            run = self.critics(mixed_NBI)
            gradient_NBI = self.critics.input_gradients(run, values_gradient_NB1)
            return run.outputs_TBM, self._own_columns(gradient_NBI).clone()
        layers = self.critics.view(self.critics.flat_TP)
        columns_NMH = self._own_columns(layers.weight1_TIH.mT).mT
        sums_NBH = torch.baddbmm(layers.bias1_T1H, judged_NBI, layers.weight1_TIH)
        sums_NBH.baddbmm_(actions_NBM - played_NBM, columns_NMH)
        run = finish(layers, judged_NBI, sums_NBH)
        sums1_NBH, _ = sum_gradients(run, values_gradient_NB1)
        return run.outputs_TBM, torch.bmm(sums1_NBH, columns_NMH.mT)

    def _judged(self, observed_BD: Tensor, actions_NBM: Tensor) -> Tensor:
        """Return the critics' input: all rows, and all actions or those of the own agent.

        (N, B, D + T), one tensor seen N times, or (N, B, D + M).
        """
        if self.joint_critics:
            actions_BT = actions_NBM.transpose(0, 1).flatten(1)
            return torch.cat([observed_BD, actions_BT], dim=1).expand(self.num_agents, -1, -1)
        return torch.cat([observed_BD.expand(self.num_agents, -1, -1), actions_NBM], dim=2)

    def _own_columns(self, inputs_NXI: Tensor) -> Tensor:
        """Return a view of the critics' inputs that are their own agent's actions, (N, X, M)."""
        actions_NXA = inputs_NXI[..., self.everything :]
        if not self.joint_critics:
            return actions_NXA
        actions_NXNM = actions_NXA.unflatten(2, (self.num_agents, self.num_actions))
        return actions_NXNM.diagonal(dim1=0, dim2=2).permute(2, 0, 1)

    def _follow(self, target: MLPEnsemble, online: MLPEnsemble) -> None:
        """Take a soft step of the target networks (Eq. 13)."""
        target.flat_TP.lerp_(online.flat_TP, self.tau)
