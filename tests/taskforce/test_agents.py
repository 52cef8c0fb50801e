import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtl_bench.taskforce.agents import Agents
from mtl_bench.taskforce.replay import Transitions

HIDDEN, BATCH = 16, 12
TAU, GAMMA, CLIP, PENALTY, RATE = 0.05, 0.9, 0.5, 0.01, 5e-3


def build(num_agents=3, action_bound=1.0, seed=0, **changed):
    settings = {
        "hidden_dim": HIDDEN,
        "action_bound": action_bound,
        "learning_rate": RATE,
        "tau": TAU,
        "gamma": GAMMA,
        "grad_clip": CLIP,
        "action_penalty": PENALTY,
    }
    return Agents(num_agents, torch.Generator().manual_seed(seed), **settings | changed)


def random_batch(num_agents, generator, dtype=torch.float32):
    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    observed = (BATCH, num_agents, num_agents + 1)
    return Transitions(
        3 * draw(*observed) + 1, draw(BATCH, num_agents), 4 * draw(BATCH), 2 * draw(*observed)
    )


class ObservationNorm(nn.Module):
    """Batch-normalises the observed columns and leaves the actions after them as they are."""

    def __init__(self, observed):
        super().__init__()
        self.observed = observed
        self.norm = nn.BatchNorm1d(observed, affine=False)

    def forward(self, inputs):
        observed, actions = inputs[:, : self.observed], inputs[:, self.observed :]
        return torch.cat([self.norm(observed), actions], dim=1)


def separate_mlp(stacked, t, observed):
    """Network t as ordinary torch modules with copied parameters."""
    layers = stacked.view(stacked.flat_TP)
    modules = [ObservationNorm(observed)]
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data = weight[t].T.clone()
        linear.bias.data = bias[t, 0].clone()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1]).to(stacked.flat_TP.dtype)


class SeparateAgents:
    """MADDPG with T separate actors, critics, targets and optimisers, written the plain way."""

    def __init__(self, agents):
        self.bound = agents.action_bound
        count = agents.num_agents
        each, all_of_them = count + 1, count * (count + 1)
        self.actors = [separate_mlp(agents.actors, t, each) for t in range(count)]
        self.critics = [separate_mlp(agents.critics, t, all_of_them) for t in range(count)]
        self.target_actors = copy.deepcopy(self.actors)
        self.target_critics = copy.deepcopy(self.critics)
        self.actor_adams = [torch.optim.Adam(a.parameters(), lr=RATE) for a in self.actors]
        self.critic_adams = [torch.optim.Adam(c.parameters(), lr=RATE) for c in self.critics]
        self.norms = []

    def policy(self, actor, observations):
        output = actor(observations).squeeze(-1)
        return output if self.bound is None else self.bound * torch.tanh(output)

    def descend(self, loss, network, adam):
        adam.zero_grad()
        loss.backward()
        self.norms.append(nn.utils.clip_grad_norm_(network.parameters(), CLIP).item())
        adam.step()

    def update(self, batch):
        observations, actions, rewards, next_observations = batch
        next_actions = torch.stack(
            [
                self.policy(actor, next_observations[:, t])
                for t, actor in enumerate(self.target_actors)
            ],
            dim=1,
        )
        next_joint = torch.cat([next_observations.flatten(1), next_actions], dim=1)
        critic_losses, actor_losses = [], []
        for t, critic in enumerate(self.critics):
            target = rewards + GAMMA * self.target_critics[t](next_joint).squeeze(1)
            value = critic(torch.cat([observations.flatten(1), actions], dim=1)).squeeze(1)
            loss = F.mse_loss(value, target.detach())
            self.descend(loss, critic, self.critic_adams[t])
            critic_losses.append(loss.item())
        for t, actor in enumerate(self.actors):
            own = self.policy(actor, observations[:, t])
            joint_actions = actions.clone()
            joint_actions[:, t] = own
            value = self.critics[t](torch.cat([observations.flatten(1), joint_actions], dim=1))
            loss = -value.mean() + PENALTY * own.square().mean()
            self.descend(loss, actor, self.actor_adams[t])
            actor_losses.append(loss.item())
        for targets, onlines in (
            (self.target_actors, self.actors),
            (self.target_critics, self.critics),
        ):
            for target, online in zip(targets, onlines, strict=True):
                for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                    slow.data.mul_(1 - TAU).add_(TAU * fast.data)
        count = len(self.actors)
        return sum(critic_losses) / count, sum(actor_losses) / count

    def act(self, observation):
        with torch.no_grad():
            return torch.stack(
                [
                    self.policy(copy.deepcopy(actor).eval(), observation[t : t + 1])[0]
                    for t, actor in enumerate(self.actors)
                ]
            )


def flatten(networks):
    rows = []
    for network in networks:
        linears = [module for module in network if isinstance(module, nn.Linear)]
        rows.append(torch.cat([p.flatten() for m in linears for p in (m.weight.T, m.bias)]).data)
    return torch.stack(rows)


@pytest.mark.parametrize(("num_agents", "bound"), [(3, 1.0), (4, None), (1, 2.0)])
def test_stacked_agents_equal_separate_ones_over_50_updates(num_agents, bound):
    agents = build(num_agents, bound).double()
    separate = SeparateAgents(agents)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        batch = random_batch(num_agents, generator, torch.float64)
        critic_loss, actor_loss = separate.update(batch)
        losses = agents.update(batch)
        assert losses.critic == pytest.approx(critic_loss, rel=1e-9)
        assert losses.actor == pytest.approx(actor_loss, rel=1e-9)
        observation = batch.observations_BTO[0]
        torch.testing.assert_close(agents.act(observation), separate.act(observation))
    for name in ("actors", "critics", "target_actors", "target_critics"):
        stacked = getattr(agents, name).flat_TP.data
        torch.testing.assert_close(stacked, flatten(getattr(separate, name)), rtol=1e-8, atol=1e-10)
    assert min(separate.norms) < CLIP < max(separate.norms)  # clipped and unclipped agents


def test_float32_update_is_that_of_float64():
    single, double = build(), build().double()
    batch = random_batch(3, torch.Generator().manual_seed(1))
    losses = single.update(batch)
    expected = double.update(Transitions(*(part.double() for part in batch)))
    assert losses == pytest.approx(expected, rel=1e-4)
    change = single.critics.flat_TP - double.critics.flat_TP.float()
    assert change.abs().max() < 1e-4 * RATE * 100


def test_agents_learn_the_actions_that_pay():
    goals_T = torch.tensor([0.5, -0.4])
    agents = build(2, gamma=0.0, learning_rate=1e-2, action_penalty=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(1200):
        batch = random_batch(2, generator)
        actions_BT = 2 * torch.rand(BATCH, 2, generator=generator) - 1
        rewards_B = -3 * (actions_BT - goals_T).square().sum(1)
        agents.update(batch._replace(actions_BT=actions_BT, rewards_B=rewards_B))
    actions_T = torch.stack([agents.act(o) for o in batch.observations_BTO]).mean(0)
    torch.testing.assert_close(actions_T, goals_T, atol=0.15, rtol=0)


def test_first_actions_are_almost_nothing():
    actions_T = build(5).act(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
    assert actions_T.shape == (5,)
    assert actions_T.abs().max() < 0.05


def test_targets_start_as_copies_of_their_own():
    agents = build()
    assert torch.equal(agents.actors.flat_TP, agents.target_actors.flat_TP)
    agents.update(random_batch(3, torch.Generator().manual_seed(0)))
    assert not torch.equal(agents.actors.flat_TP, agents.target_actors.flat_TP)


def test_saved_and_loaded_they_go_on_bit_for_bit():
    original, generator = build(), torch.Generator().manual_seed(1)
    for _ in range(5):
        original.update(random_batch(3, generator))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    snapshot = torch.load(file, weights_only=True)
    kept = copy.deepcopy(snapshot)
    restored = build(seed=9)
    restored.load_state_dict(snapshot)
    for _ in range(5):
        batch = random_batch(3, generator)
        assert original.update(batch) == restored.update(batch)
    for name, tensor in original.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(tensor, restored.state_dict()[name])
    moments = snapshot["_extra_state"]["critic_optimizer"]["state"][0]
    expected = kept["_extra_state"]["critic_optimizer"]["state"][0]
    assert torch.equal(moments["exp_avg"], expected["exp_avg"])  # training left the snapshot alone
    assert torch.equal(moments["step"], expected["step"])
