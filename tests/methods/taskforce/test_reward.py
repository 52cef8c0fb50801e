import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_bench.methods.taskforce.reward import Rewards, gradient_reward, imtl_reward, loss_reward


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
    reward = gradient_reward(torch.from_numpy(weights), gram_TT)
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
    reward = imtl_reward(torch.from_numpy(weights), torch.from_numpy(gradients @ gradients.T))
    assert reward == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_imtl_reward_is_highest_where_all_projections_are_equal():
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    third = 1 / 3  # w1 |g1| = w2 |g2|
    assert imtl_reward(torch.tensor([third, 2 * third]), gram_TT) == pytest.approx(0, abs=1e-12)
    assert imtl_reward(torch.tensor([0.5, 0.5]), gram_TT) == pytest.approx(-0.25)


@pytest.mark.parametrize("zeros", [[0], [1], [0, 1]])
def test_imtl_reward_of_zero_gradients_is_finite(zeros):
    gram_TT = torch.diag(torch.tensor([0.0 if t in zeros else 9.0 for t in range(2)]))
    expected = 0.0 if len(zeros) == 2 else -((0.5 * 3) ** 2)
    assert imtl_reward(torch.tensor([0.5, 0.5]), gram_TT) == pytest.approx(expected)


def test_imtl_reward_of_one_task_is_nothing():
    assert imtl_reward(torch.ones(1), torch.full((1, 1), 7.0)) == 0


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
