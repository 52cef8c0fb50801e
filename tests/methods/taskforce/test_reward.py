import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_bench.errors import ConfigError
from mtl_bench.methods.taskforce import AgentOutcome
from mtl_bench.methods.taskforce.gradient_rewards import REWARDS, find_reward
from mtl_bench.methods.taskforce.reward import Rewards, loss_reward
from mtl_bench.testing.methods import GRAMS


def rewarded(name, weights_T, gram_TT):
    nothing_T = torch.zeros(len(weights_T), dtype=torch.float64)
    outcome = AgentOutcome(weights_T.double(), gram_TT.double(), nothing_T, nothing_T)
    return find_reward(name)(outcome).item()


def test_loss_reward_by_hand():
    before_T = torch.tensor([math.e**2 - 1, math.e - 1], dtype=torch.float64)
    after_T = torch.tensor([math.e - 1, 0.0], dtype=torch.float64)
    assert loss_reward(before_T, after_T) == pytest.approx(2.0)
    assert loss_reward(after_T, before_T) == pytest.approx(-2.0)


@given(
    gradients=arrays(np.float64, (4, 6), elements=st.floats(-10, 10)),
    raw=arrays(np.float64, 4, elements=st.floats(0.01, 1)),
)
def test_gradient_reward_is_minus_the_squared_norm_of_the_shared_gradient(gradients, raw):
    weights = raw / raw.sum()
    expected = -(np.linalg.norm(sum(w * g for w, g in zip(weights, gradients, strict=True))) ** 2)
    gram_TT = torch.from_numpy(gradients @ gradients.T)
    reward = rewarded("min_norm", torch.from_numpy(weights), gram_TT)
    assert reward == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(
    gradients=arrays(np.float64, (4, 6), elements=st.floats(-10, 10)),
    raw=arrays(np.float64, 4, elements=st.floats(0.01, 1)),
)
def test_imtl_reward_is_that_of_the_gradients_themselves(gradients, raw):
    """Equation 23 as it is printed, with the gradients at hand."""
    gradients[np.abs(gradients) < 1e-3] = 0
    weights = raw / raw.sum()
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    directions = np.divide(gradients, norms, out=np.zeros_like(gradients), where=norms > 0)
    projections = directions @ (weights @ gradients)
    expected = -sum((projections[0] - projections[t]) ** 2 for t in range(1, 4))
    reward = rewarded("imtl", torch.from_numpy(weights), torch.from_numpy(gradients @ gradients.T))
    assert reward == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_imtl_reward_is_highest_where_all_projections_are_equal():
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    third = 1 / 3  # w1 |g1| = w2 |g2|
    assert rewarded("imtl", torch.tensor([third, 2 * third]), gram_TT) == pytest.approx(
        0, abs=1e-12
    )
    assert rewarded("imtl", torch.tensor([0.5, 0.5]), gram_TT) == pytest.approx(-0.25)


@pytest.mark.parametrize("zeros", [[0], [1], [0, 1]])
def test_imtl_reward_of_zero_gradients_is_finite(zeros):
    gram_TT = torch.diag(torch.tensor([0.0 if t in zeros else 9.0 for t in range(2)]))
    expected = 0.0 if len(zeros) == 2 else -((0.5 * 3) ** 2)
    assert rewarded("imtl", torch.tensor([0.5, 0.5]), gram_TT) == pytest.approx(expected)


def test_imtl_reward_of_one_task_is_nothing():
    assert rewarded("imtl", torch.ones(1), torch.full((1, 1), 7.0)) == 0


@pytest.mark.parametrize(
    ("kind", "gradient"), [("none", 0.0), ("min_norm", -1.25), ("imtl", -0.25)]
)
@pytest.mark.parametrize("own", [False, True])
def test_rewards_by_hand(kind, gradient, own):
    rewards = Rewards(2.0, 10.0, kind, own)
    before_T, after_T = torch.tensor([math.e**2, math.e]) - 1, torch.tensor([math.e, 1.0]) - 1
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    reward = rewards(before_T.double(), after_T.double(), torch.tensor([0.5, 0.5]), gram_TT)
    assert reward.loss == pytest.approx(2, rel=1e-6)
    assert reward.gradient == pytest.approx(gradient)
    expected = [2 + 10 * gradient] * 2 if own else 4 + 10 * gradient
    assert reward.values.tolist() == pytest.approx(expected, rel=1e-6)
    assert reward.mean == pytest.approx(2 + 10 * gradient if own else 4 + 10 * gradient, rel=1e-6)


def welfare(weights, gradients):
    """Sum of phi(cos(G, g_t)) with the gradients at hand."""
    shared = weights @ gradients
    total = 0.0
    for gradient in gradients:
        cosine = shared @ gradient / np.linalg.norm(shared) / np.linalg.norm(gradient)
        total += math.log(cosine) if cosine >= 0.1 else math.log(0.1) + (cosine - 0.1) / 0.1
    return total


def test_nash_reward_is_the_gain_in_welfare_over_equal_weights():
    generator = np.random.default_rng(0)
    signs = set()
    for _ in range(50):
        gradients = generator.normal(size=(4, 6)) * generator.uniform(0.1, 10, size=(4, 1))
        weights = generator.dirichlet(np.ones(4))
        expected = welfare(weights, gradients) - welfare(np.full(4, 0.25), gradients)
        reward = rewarded(
            "nash", torch.from_numpy(weights), torch.from_numpy(gradients @ gradients.T)
        )
        assert reward == pytest.approx(expected, rel=1e-9, abs=1e-9)
        signs.add(reward > 0)
    assert signs == {False, True}


def test_an_update_of_nothing_has_cosine_zero_with_every_gradient_in_the_nash_reward():
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    tangent = math.log(0.1) - 1  # of the logarithm at 0.1, at 0
    equal = math.log(2 / math.sqrt(5)) + math.log(1 / math.sqrt(5))
    assert rewarded("nash", torch.zeros(2), gram_TT) == pytest.approx(2 * tangent - equal)


def test_the_tangent_of_the_nash_reward_meets_the_logarithm_with_its_slope():
    """Two gradients at an angle: the second's cosine passes 0.1 as its weight grows."""

    def reward(share):
        gram_TT = torch.tensor([[1.0, -0.9], [-0.9, 1.0]], dtype=torch.float64)
        return rewarded("nash", torch.tensor([1 - share, share], dtype=torch.float64), gram_TT)

    shares = np.linspace(0.3, 0.5, 2001)
    values = np.array([reward(share) for share in shares])
    slopes = np.diff(values)
    assert (slopes > 0).all()  # even from a conflict there is a way up
    assert np.abs(np.diff(slopes)).max() < 0.05 * slopes.max()  # neither a jump nor a kink


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("case", GRAMS)
def test_every_reward_is_finite(name, case):
    num_tasks = len(GRAMS[case])
    for weights_T in (torch.full((num_tasks,), 1 / num_tasks), torch.eye(num_tasks)[0]):
        assert math.isfinite(rewarded(name, weights_T, GRAMS[case]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("welfare", "must be one of none, min_norm, imtl, nash, mtl_bench"),
        ("os.system", "must be one of"),
        ("mtl_bench.methods.ls.LS", "must be a subclass of .*GradientReward"),
        ("mtl_bench.methods.ls.Missing", "defines no class Missing"),
        ("mtl_bench.methods.taskforce.GradientReward", "abstract"),
    ],
)
def test_a_reward_that_there_is_not_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find_reward(name)


def test_a_reward_may_be_named_by_its_path():
    path = "mtl_bench.methods.taskforce.gradient_rewards.NashWelfare"
    assert type(find_reward(path)) is REWARDS["nash"]
