import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_bench.taskforce.reward import gradient_reward, loss_reward


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
