"""What the agents see."""

import math

import torch

from mtl_bench.methods.taskforce.pending import LIMIT, observe


def test_observation_of_equation_5():
    gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 9.0]], dtype=torch.float64)
    losses_T = torch.tensor([0.0, math.e - 1])
    observation = observe(gram_TT, losses_T)
    assert observation.dtype == torch.float32
    torch.testing.assert_close(observation, torch.tensor([[4.0, -1.0, 0.0], [-1.0, 9.0, 1.0]]))


def test_observation_is_limited_to_what_float32_can_square():
    gram_TT = torch.tensor([[1e40, -1e40], [-1e40, 1e40]], dtype=torch.float64)
    observation = observe(gram_TT, torch.zeros(2))
    assert observation.square().isfinite().all()
    assert observation[0, 0] == -observation[0, 1] == torch.tensor(LIMIT)
