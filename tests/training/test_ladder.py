"""Every row of the paper's ablation trains, stops and goes on; Algorithm 2 sees its batch twice."""

import pytest
import torch

from mtl_bench.errors import ConfigError
from tests.nightly import gate
from tests.training.runs import STEPS, DropoutMPNN, config_of, differences, stop_at, train

ROWS = ("gram", "imtl", "alt", "ma", "ct", "de", "alt_de", "alt_imtl")


def row_of(row, data, results, *overrides):
    words = (f"ablation={row}", "method.batch_size=3", "trainer.epochs=2", *overrides)
    return config_of(data, results, *words)


@pytest.mark.parametrize("row", gate(3, ROWS))
def test_every_row_stopped_and_resumed_equals_uninterrupted(row, tiny_data, tmp_path):
    straight = train(row_of(row, tiny_data, tmp_path / "straight"))
    config = row_of(row, tiny_data, tmp_path / "stopped")
    assert train(config, stop_at(STEPS + 1)).selected is None
    assert differences(straight._asdict(), train(config)._asdict()) == []
    assert straight.steps["critic_loss"][-1] > 0


def test_rows_are_different_trainings(tiny_data, tmp_path):
    ends = [
        train(row_of(row, tiny_data, tmp_path / row)).state["method"]
        for row in ("gram", "ma", "ct", "de", "full", "alt")
    ]
    assert all(differences(a, b) for i, a in enumerate(ends) for b in ends[:i])


def test_algorithm_2_sees_the_same_dropout_twice_and_goes_on_bit_for_bit(tiny_data, tmp_path):
    """With a step so small that nothing changes the second look shows what the first did."""

    def build(name, *overrides):
        config = row_of("alt_de", tiny_data, tmp_path / name, *overrides)
        config["architecture"]["_target_"] = f"{DropoutMPNN.__module__}.{DropoutMPNN.__name__}"
        return config

    still = train(build("still", "optimizer.lr=1e-30"))
    assert still.steps["reward_loss"] == [0] * len(still.steps["step"])
    straight, config = train(build("straight")), build("stopped")
    train(config, stop_at(STEPS + 1))
    assert differences(straight._asdict(), train(config)._asdict()) == []
    assert any(straight.steps["reward_loss"])


def test_algorithm_2_lowers_the_losses_of_the_batch_that_it_sees(tiny_data, tmp_path):
    rewards = train(row_of("alt_de", tiny_data, tmp_path)).steps["reward_loss"]
    assert sum(reward > 0 for reward in rewards) > len(rewards) / 2


def test_algorithm_2_does_not_change_what_the_network_draws(tiny_data, tmp_path):
    """Until the agents learn, both algorithms make the same moves."""
    words = ("method.batch_size=64", "trainer.epochs=1", "trainer.accumulate=2")
    ends = [train(row_of(row, tiny_data, tmp_path / row, *words)).state for row in ("full", "alt")]
    for part in ("network", "generators"):
        assert differences(ends[0][part], ends[1][part]) == []


def test_raw_gradients_are_refused_with_the_cost_for_this_network(tiny_data, tmp_path):
    with pytest.raises(ConfigError, match=r"observation=raw is computed, not run: 11 gradients"):
        train(row_of("raw", tiny_data, tmp_path))
    assert torch.is_grad_enabled()
