"""The policy against torch.distributions."""

import math

import pytest
import torch
from torch import distributions

from mtl_bench.methods.igbv2.policy import Actor, log_probs, task_weights


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def actor_of(num_tasks=3, log_prob="gaussian", hidden_dim=16, seed=0):
    return Actor(num_tasks, hidden_dim, log_prob, torch.Generator().manual_seed(seed))


def test_gaussian_log_probs_are_those_of_torch():
    means, log_stds, scores = draw(7, 4), draw(7, 4, seed=1), 3 * draw(7, 4, seed=2)
    expected = distributions.Normal(means, log_stds.exp()).log_prob(scores).sum(dim=1)
    torch.testing.assert_close(log_probs(scores, means, log_stds, "gaussian"), expected)


def test_tanh_log_probs_are_those_of_torch():
    means, log_stds, scores = draw(7, 4), draw(7, 4, seed=1), 2 * draw(7, 4, seed=2)
    squashed = distributions.TransformedDistribution(
        distributions.Normal(means, log_stds.exp()),
        distributions.TanhTransform(cache_size=1),
    )
    expected = squashed.log_prob(squashed.transforms[0](scores)).sum(dim=1)
    torch.testing.assert_close(log_probs(scores, means, log_stds, "tanh"), expected)


@pytest.mark.parametrize("num_tasks", [2, 5])
def test_softmax_log_probs_are_the_density_of_the_weights(num_tasks):
    """The Gaussian of the differences to the last score, pushed forward by the softmax."""
    means, log_stds, scores = draw(1, num_tasks), draw(1, num_tasks, seed=1), draw(1, num_tasks)
    scores = scores + draw(1, num_tasks, seed=2)

    def weights(differences):
        return task_weights(torch.cat([differences, torch.zeros_like(differences[:1])]))[:-1]

    differences = scores[0, :-1] - scores[0, -1]
    variances = (2 * log_stds[0]).exp()
    normal = distributions.MultivariateNormal(
        means[0, :-1] - means[0, -1], variances[:-1].diag() + variances[-1]
    )
    jacobian = torch.autograd.functional.jacobian(weights, differences)
    expected = normal.log_prob(differences) - jacobian.logdet()
    torch.testing.assert_close(log_probs(scores, means, log_stds, "softmax")[0], expected)


def test_softmax_log_probs_of_two_tasks_integrate_to_one():
    first = torch.linspace(0, 2, 200_001, dtype=torch.float64)[1:-1]
    scores = torch.stack([first, 2 - first], dim=1).log()
    means, log_stds = torch.tensor([[0.3, -0.4]]).double(), torch.tensor([[0.2, -0.5]]).double()
    densities = log_probs(scores, means, log_stds, "softmax").exp()
    assert densities.mean().item() * 2 == pytest.approx(1, abs=1e-4)


def test_softmax_log_probs_ignore_a_shift_and_a_lone_task_has_certainty():
    means, log_stds, scores = draw(7, 4), draw(7, 4, seed=1), draw(7, 4, seed=2)
    torch.testing.assert_close(
        log_probs(scores + 5, means, log_stds, "softmax"),
        log_probs(scores, means, log_stds, "softmax"),
    )
    assert log_probs(scores[:, :1], means[:, :1], log_stds[:, :1], "softmax").tolist() == [0] * 7


@pytest.mark.parametrize("score", [-60.0, 60.0])
def test_tanh_log_probs_stay_exact_far_out(score):
    """There 1 - tanh(u)^2 is 4 exp(-2 |u|), far below what a difference from 1 can show."""
    zero = torch.zeros(1, 1)
    correction = log_probs(zero + score, zero + score, zero, "tanh") + 0.5 * math.log(2 * math.pi)
    assert correction.item() == pytest.approx(2 * 60 - math.log(4), rel=1e-6)


def test_weights_are_positive_sum_to_t_and_ignore_a_shift():
    weights = task_weights(draw(50, 5))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.full((50,), 5.0, dtype=torch.float64))
    torch.testing.assert_close(task_weights(draw(50, 5) + 7), weights)
    assert task_weights(torch.tensor([math.log(3), 0.0])).tolist() == pytest.approx([1.5, 0.5])


def test_samples_have_the_moments_that_the_network_says():
    actor = actor_of(num_tasks=2)
    losses = torch.tensor([[0.3, 2.0]])
    means, log_stds = actor(losses)
    with torch.no_grad():
        samples = actor.sample(losses.expand(40_000, -1), torch.Generator().manual_seed(1))
    ratios = samples.weights_BT.log().diff(dim=1).squeeze()
    mean, deviation = means.diff().item(), log_stds.exp().norm().item()
    assert ratios.mean().item() == pytest.approx(mean, abs=5 * deviation / 200)
    assert ratios.std().item() == pytest.approx(deviation, rel=0.03)
    entropy = distributions.Normal(means, log_stds.exp()).entropy().sum().item()
    assert -samples.log_probs_B.mean().item() == pytest.approx(entropy, abs=5 / 200)


def test_deviations_are_clamped():
    actor = actor_of()
    with torch.no_grad():
        actor.layers[-1].bias[3:] = torch.tensor([-1e3, 0.0, 1e3])
    _, log_stds = actor(torch.zeros(1, 3))
    assert (log_stds[0, 0], log_stds[0, 2]) == (-20, 2)


def test_the_generator_decides_the_first_parameters_and_nothing_else_does():
    state = torch.get_rng_state()
    first, second, other = actor_of(), actor_of(), actor_of(seed=1)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(torch.get_rng_state(), state)
    for layer, inputs in zip(list(first.layers)[::2], (3, 16, 16), strict=True):
        assert 0.8 * inputs**-0.5 < layer.weight.abs().max() <= inputs**-0.5
        assert layer.bias.abs().max() <= inputs**-0.5
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
