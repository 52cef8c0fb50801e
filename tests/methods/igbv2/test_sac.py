"""The soft actor-critic against one written the plain way, and on bandits with a known best arm."""

import copy
import io

import pytest
import torch
from torch import distributions, nn

from mtl_bench.methods.igbv2.policy import task_weights
from mtl_bench.methods.igbv2.sac import LossTransitions, SoftActorCritic, make_replay

GAMMA, TAU, RATE, ALPHA = 0.9, 0.1, 3e-3, 0.2


def build(num_tasks=3, seed=0, **changed):
    settings = {
        "hidden_dim": 16,
        "learning_rate": RATE,
        "gamma": GAMMA,
        "tau": TAU,
        "initial_alpha": ALPHA,
        "log_prob": "softmax",
    }
    return SoftActorCritic(num_tasks, torch.Generator().manual_seed(seed), **settings | changed)


def random_batch(generator, num_tasks=3, size=12):
    def draw(*shape):
        return torch.rand(shape, generator=generator)

    weights = task_weights(torch.randn(size, num_tasks, generator=generator))
    return LossTransitions(
        4 * draw(size, num_tasks), weights, draw(size) - 0.5, 4 * draw(size, num_tasks)
    )


def separate(stacked, c):
    """Network c as ordinary torch modules with copied parameters."""
    layers = stacked.view(stacked.flat_TP)
    modules = []
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data = weight[c].T.clone()
        linear.bias.data = bias[c, 0].clone()
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class PlainSAC:
    """Separate networks, autograd, torch.distributions and ordinary Adam."""

    def __init__(self, sac, log_prob):
        self.log_prob = log_prob
        self.actor = copy.deepcopy(sac.actor.layers)
        self.critics = [separate(sac.critics, c) for c in (0, 1)]
        self.targets = copy.deepcopy(self.critics)
        self.log_alpha = torch.tensor(ALPHA, dtype=torch.float64).log().requires_grad_()
        critics = [p for critic in self.critics for p in critic.parameters()]
        self.adams = [
            torch.optim.Adam(parameters, lr=RATE)
            for parameters in (self.actor.parameters(), critics, [self.log_alpha])
        ]

    def draw(self, losses, generator):
        means, log_stds = self.actor(losses).chunk(2, dim=1)
        policy = distributions.Normal(means, log_stds.clamp(-20, 2).exp())
        noise = torch.randn(means.shape, generator=generator)
        scores = policy.loc + policy.scale * noise
        weights = losses.shape[1] * torch.softmax(scores, dim=1)
        if self.log_prob == "softmax":
            covariances = policy.scale[:, :-1].square().diag_embed()
            differences = distributions.MultivariateNormal(
                policy.loc[:, :-1] - policy.loc[:, -1:],
                covariances + policy.scale[:, -1:, None].square(),
            )
            log_probs = differences.log_prob(scores[:, :-1] - scores[:, -1:])
            return weights, log_probs - (weights.prod(dim=1) / losses.shape[1]).log()
        log_probs = policy.log_prob(scores)
        if self.log_prob == "tanh":
            log_probs = log_probs - (1 - scores.tanh() ** 2).log()
        return weights, log_probs.sum(dim=1)

    @staticmethod
    def value(critics, losses, weights):
        inputs = torch.cat([losses, weights], dim=1)
        return torch.min(*(critic(inputs).squeeze(1) for critic in critics))

    def descend(self, loss, adam):
        for each in self.adams:
            each.zero_grad()
        loss.backward()
        adam.step()

    def update(self, batch, generator):
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            weights, log_probs = self.draw(batch.next_losses_BT, generator)
            following = self.value(self.targets, batch.next_losses_BT, weights)
            goals = batch.rewards_B + GAMMA * (following - alpha * log_probs)
        inputs = torch.cat([batch.losses_BT, batch.weights_BT], dim=1)
        errors = [critic(inputs).squeeze(1) - goals for critic in self.critics]
        self.descend(sum(error.square().mean() for error in errors), self.adams[1])
        weights, log_probs = self.draw(batch.losses_BT, generator)
        values = self.value(self.critics, batch.losses_BT, weights)
        actor_loss = (alpha * log_probs - values).mean()
        self.descend(actor_loss, self.adams[0])
        target_entropy = -batch.losses_BT.shape[1]
        gap = (log_probs + target_entropy).detach().mean()
        self.descend(-self.log_alpha * gap, self.adams[2])
        for target, critic in zip(self.targets, self.critics, strict=True):
            for old, new in zip(target.parameters(), critic.parameters(), strict=True):
                old.data = (1 - TAU) * old.data + TAU * new.data
        critic_loss = torch.stack(errors).detach().square().mean()
        return critic_loss.item(), actor_loss.item(), -log_probs.detach().mean().item()


@pytest.mark.parametrize("log_prob", ["softmax", "gaussian", "tanh"])
def test_updates_equal_those_of_the_plain_form(log_prob):
    sac = build(log_prob=log_prob)
    plain = PlainSAC(sac, log_prob)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    batches = torch.Generator().manual_seed(1)
    for _ in range(5):
        batch = random_batch(batches)
        health = sac.update(batch, generators[0])
        expected = plain.update(batch, generators[1])
        torch.testing.assert_close(
            torch.tensor(health), torch.tensor(expected), rtol=1e-4, atol=1e-5
        )
    pairs = [(sac.actor.layers, plain.actor)]
    pairs += [(separate(sac.critics, c), plain.critics[c]) for c in (0, 1)]
    pairs += [(separate(sac.target_critics, c), plain.targets[c]) for c in (0, 1)]
    for ours, theirs in pairs:
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert sac.temperature.value() == pytest.approx(plain.log_alpha.exp().item(), rel=1e-6)


def test_targets_start_equal_and_follow_slowly():
    sac = build(tau=0.25)
    assert torch.equal(sac.critics.flat_TP, sac.target_critics.flat_TP)
    assert sac.critics.flat_TP[0].ne(sac.critics.flat_TP[1]).all()
    before = sac.target_critics.flat_TP.clone()
    generator = torch.Generator().manual_seed(0)
    sac.update(random_batch(generator), generator)
    moved = 0.75 * before + 0.25 * sac.critics.flat_TP
    torch.testing.assert_close(sac.target_critics.flat_TP.data, moved)
    assert not torch.equal(sac.target_critics.flat_TP, before)


@pytest.mark.parametrize("before", [0, 4])
def test_saved_and_loaded_it_goes_on_bit_for_bit(before):
    original, restored = build(seed=0), build(seed=1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(before):
        original.update(random_batch(generator), generator)
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    batches = [random_batch(generator) for _ in range(4)]
    runs = []
    for sac in (original, restored):
        generator = torch.Generator().manual_seed(7)
        healths = [sac.update(batch, generator) for batch in batches]
        runs.append((healths, sac.act(batches[0].losses_BT[0], generator).tolist()))
    assert runs[0] == runs[1]


def reward_of(losses, weights):
    """The best weights are 3 L / sum L: the larger the loss, the more of the update it needs."""
    best = 3 * losses / losses.sum(dim=-1, keepdim=True)
    return -(weights - best).square().sum(dim=-1)


def explored(reward, generator, count=2000):
    """A replay buffer with the rewards of random weights in random states."""
    losses = 0.2 + torch.rand(count, 3, generator=generator)
    weights = task_weights(torch.randn(count, 3, generator=generator))
    replay = make_replay(3, count)
    for row in zip(losses, weights, reward(losses, weights), losses, strict=True):
        replay.append(*row)
    return replay


@pytest.mark.parametrize("log_prob", ["softmax", "gaussian", "tanh"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2, 3))]
)
def test_it_learns_the_best_weights_of_every_state(seed, log_prob):
    """A bandit on the simplex whose best reward is 0, learned from random weights alone.

    Better than half of what the best constant weights lose it can only be by looking at the state.
    The temperature begins below the rewards at stake, about 0.2: at a higher one the entropy of
    ``gaussian`` has no largest value, and some seeds end with one task's weight at T for good.
    """
    generator = torch.Generator().manual_seed(seed)
    sac = build(
        seed=seed,
        gamma=0.0,
        hidden_dim=32,
        learning_rate=5e-3,
        initial_alpha=0.01,
        log_prob=log_prob,
    )
    replay = explored(reward_of, generator)
    for _ in range(300):
        sac.update(replay.sample(128, generator), generator)
    losses = 0.2 + torch.rand(500, 3, generator=generator)
    choices = {
        "learned": sac.actor.sample(losses, generator).weights_BT.detach(),
        "equal": torch.ones(500, 3),
        "random": task_weights(torch.randn(500, 3, generator=generator)),
    }
    means = {name: reward_of(losses, w).mean().item() for name, w in choices.items()}
    assert means["learned"] > 0.5 * means["equal"] > 0.5 * means["random"]


def test_the_temperature_leads_the_entropy_to_its_target():
    generator = torch.Generator().manual_seed(0)
    sac = build(gamma=0.0, hidden_dim=32, learning_rate=1e-2)
    replay = explored(reward_of, generator)
    entropies = [sac.update(replay.sample(64, generator), generator).entropy for _ in range(900)]
    assert entropies[0] > 0
    assert sum(entropies[-300:]) / 300 == pytest.approx(-3, abs=0.3)


@pytest.mark.parametrize(("log_prob", "spread"), [("softmax", 1.1), ("tanh", 0.9)])
def test_with_nothing_to_learn_the_weights_stay_as_spread_as_random_ones(log_prob, spread):
    """The maximum of the entropy lies inside; with the density of the scores it would not."""
    generator = torch.Generator().manual_seed(0)
    sac = build(gamma=0.0, hidden_dim=32, learning_rate=5e-3, log_prob=log_prob)
    replay = explored(lambda losses, weights: torch.zeros(len(losses)), generator)
    for _ in range(200):
        sac.update(replay.sample(64, generator), generator)
    means, log_stds = sac.actor(replay.sample(100, generator).losses_BT)
    assert means.abs().max() < 0.5
    assert log_stds.exp().mean().item() == pytest.approx(spread, abs=0.35)
