import pytest
import torch

from mtl_bench.methods.igbv2.igbv2 import improvement_reward


def test_the_worst_relative_drop_by_hand():
    before = torch.tensor([4.0, 10.0, 1.0])
    after = torch.tensor([3.0, 9.0, 0.5])
    base = torch.tensor([2.0, 20.0, 1.0])
    assert improvement_reward(before, after, base) == pytest.approx(0.05)  # 1/2, 1/20, 1/2


def test_a_loss_that_rises_is_punished_however_the_others_fare():
    before, base = torch.ones(2), torch.ones(2)
    assert improvement_reward(before, torch.tensor([0.01, 1.5]), base) == -0.5


def test_a_task_that_had_nothing_to_improve_does_not_count():
    before, after = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 3.0])
    assert improvement_reward(before, after, torch.tensor([2.0, 0.0])) == 0.25
    assert improvement_reward(before, after, torch.zeros(2)) == 0
