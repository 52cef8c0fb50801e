import math

import pytest
import torch

from mtl_bench.agents.exploration import OrnsteinUhlenbeck, linear_decay


def test_recursion_by_hand():
    noise = OrnsteinUhlenbeck(3, theta=0.25, sigma=2.0)
    draws = torch.Generator().manual_seed(4)
    generator = torch.Generator().manual_seed(4)
    expected = torch.zeros(3)
    for _ in range(5):
        expected = expected - 0.25 * expected + 2.0 * torch.randn(3, generator=draws)
        torch.testing.assert_close(noise.sample(generator), expected)


def test_stationary_deviation_and_correlation():
    noise = OrnsteinUhlenbeck(500, theta=0.15, sigma=0.2)
    generator = torch.Generator().manual_seed(0)
    path = torch.stack([noise.sample(generator) for _ in range(400)])[100:]
    keep = 1 - 0.15
    assert path.std().item() == pytest.approx(0.2 / math.sqrt(1 - keep**2), rel=0.02)
    correlation = (path[1:] * path[:-1]).mean() / path.square().mean()
    assert correlation.item() == pytest.approx(keep, abs=0.01)


def test_sample_is_not_a_view_of_the_state():
    noise = OrnsteinUhlenbeck(2)
    generator = torch.Generator().manual_seed(0)
    first = noise.sample(generator)
    kept = first.clone()
    noise.sample(generator)
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    ("iteration", "scale"), [(0, 0.3), (5_000, 0.175), (10_000, 0.05), (99_999, 0.05)]
)
def test_linear_decay(iteration, scale):
    assert linear_decay(iteration, 0.3, 0.05, 10_000) == pytest.approx(scale)
