"""The agents of TaskForce as T separate networks: the peer of the speed measurement and the oracle.

Written the plain way, with autograd, one optimiser for each network and a loop over agents, as
public MADDPG implementations are.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.agents.mlp_ensemble import MLPEnsemble
from mtl_bench.methods.taskforce.agents import Agents
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions


class InputNorm(nn.Module):
    """Batch-normalises the observed columns, and what follows as the critics' inputs say."""

    def __init__(self, observed: int, actions: int, critic_inputs: str) -> None:
        super().__init__()
        self.observed = observed
        self.norm = nn.BatchNorm1d(observed, affine=False)
        self.own: nn.Module = nn.Identity()
        if critic_inputs == "layer_norm":
            self.own = nn.LayerNorm(observed + actions)
        elif critic_inputs == "batch_norm":
            self.own = nn.BatchNorm1d(actions)
        self.whole = critic_inputs == "layer_norm"

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Return the normalised inputs."""
        observed, actions = inputs_BI[:, : self.observed], inputs_BI[:, self.observed :]
        if self.whole:
            whole: Tensor = self.own(torch.cat([self.norm(observed), actions], dim=1))
            return whole
        return torch.cat([self.norm(observed), self.own(actions)], dim=1)


def separate_mlp(
    stacked: MLPEnsemble, agent: int, observed: int, critic_inputs: str = "raw"
) -> nn.Sequential:
    """Return one of the stacked networks as ordinary modules with copied parameters."""
    layers = stacked.view(stacked.flat_TP)
    actions = layers.weight1_TIH.shape[1] - observed
    modules: list[nn.Module] = [InputNorm(observed, actions, critic_inputs)]
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data = weight[agent].T.clone()
        linear.bias.data = bias[agent, 0].clone()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1]).to(stacked.flat_TP.dtype)


class SeparateAgents:
    """MADDPG and its ablations with separate networks and optimisers.

    Args:
        agents: whose parameters and settings they begin with.
        num_tasks: T.
        learning_rate: of every Adam.
    """

    def __init__(self, agents: Agents, num_tasks: int, learning_rate: float) -> None:
        self.settings = agents
        count = range(agents.num_agents)
        self.owned = [list(range(num_tasks))] if len(count) == 1 else [[t] for t in count]
        everything = num_tasks * (num_tasks + 1)
        each = num_tasks + 1 if agents.local_policies else everything
        self.actors = [separate_mlp(agents.actors, t, each) for t in count]
        inputs = agents.critic_inputs
        self.critics = [separate_mlp(agents.critics, t, everything, inputs) for t in count]
        self.target_actors = copy.deepcopy(self.actors)
        self.target_critics = copy.deepcopy(self.critics)
        self.adams: dict[nn.Module, torch.optim.Adam] = {
            network: torch.optim.Adam(network.parameters(), lr=learning_rate)
            for network in (*self.actors, *self.critics)
        }
        self.norms: list[float] = []

    def act(self, observation_TO: Tensor) -> Tensor:
        """Return the (T,) actions."""
        actions = []
        with torch.no_grad():
            for n, actor in enumerate(self.actors):
                actor.eval()
                actions.append(self._policy(self.actors, n, observation_TO[None])[0])
                actor.train()
        return torch.cat(actions)

    def update(self, batch: AgentTransitions) -> tuple[float, float]:
        """Update every network from one batch and return the mean critic and actor loss."""
        observations, actions, rewards, next_observations = batch
        next_actions = torch.cat(
            [
                self._policy(self.target_actors, n, next_observations)
                for n in range(len(self.owned))
            ],
            dim=1,
        )
        critic_losses, actor_losses = [], []
        for n, critic in enumerate(self.critics):
            reward = rewards if rewards.ndim == 1 else rewards[:, n]
            following = self._value(self.target_critics, n, next_observations, next_actions)
            value = self._value(self.critics, n, observations, actions)
            target = (reward + self.settings.gamma * following).detach()
            critic_losses.append(self._descend(functional.mse_loss(value, target), critic))
        for n, actor in enumerate(self.actors):
            output = self._output(self.actors, n, observations)
            own = self._bounded(output)
            mixed = actions.clone()
            mixed[:, self.owned[n]] = own
            value = self._value(self.critics, n, observations, mixed)
            penalised = output if self.settings.penalise_raw else own
            penalty = self.settings.action_penalty * penalised.square().mean()
            actor_losses.append(self._descend(penalty - value.mean(), actor))
        self._follow(self.target_actors, self.actors)
        self._follow(self.target_critics, self.critics)
        count = len(self.actors)
        return sum(critic_losses) / count, sum(actor_losses) / count

    def _policy(self, actors: Sequence[nn.Module], n: int, observations_BTO: Tensor) -> Tensor:
        """Return the actions of agent n, a column each."""
        return self._bounded(self._output(actors, n, observations_BTO))

    def _output(self, actors: Sequence[nn.Module], n: int, observations_BTO: Tensor) -> Tensor:
        local = self.settings.local_policies
        seen = observations_BTO[:, n] if local else observations_BTO.flatten(1)
        output: Tensor = actors[n](seen)
        return output

    def _bounded(self, output: Tensor) -> Tensor:
        bound = self.settings.action_bound
        return output if bound is None else bound * torch.tanh(output)

    def _value(
        self, critics: Sequence[nn.Module], n: int, observations_BTO: Tensor, actions_BT: Tensor
    ) -> Tensor:
        joint = self.settings.joint_critics
        judged = actions_BT if joint else actions_BT[:, self.owned[n]]
        value: Tensor = critics[n](torch.cat([observations_BTO.flatten(1), judged], dim=1))
        return value.squeeze(1)

    def _descend(self, loss: Tensor, network: nn.Module) -> float:
        self.adams[network].zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.settings.grad_clip)
        self.norms.append(norm.item())
        self.adams[network].step()
        return loss.item()

    def _follow(self, targets: Sequence[nn.Module], onlines: Sequence[nn.Module]) -> None:
        tau = self.settings.tau
        for target, online in zip(targets, onlines, strict=True):
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.data.mul_(1 - tau).add_(tau * fast.data)
