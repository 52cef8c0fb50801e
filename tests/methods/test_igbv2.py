import copy
import inspect
import io
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import mtl_bench
from mtl_bench.cli import main
from mtl_bench.errors import ConfigError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.igbv2 import IGBv2
from mtl_bench.testing.methods import as_plain
from tests.methods.streams import tiny_net
from tests.nightly import gate
from tests.training.runs import read_steps

CONFIG = Path(mtl_bench.__file__).parents[1] / "configs" / "method" / "igbv2.yaml"
EPOCH = 4
"""Steps of an epoch in these games."""
SMALL = {
    "base_epoch": 0,
    "random_epochs": 2,
    "update_after_epochs": 1,
    "update_every": 3,
    "batch_size": 8,
    "buffer_size": 20,
    "hidden_dim": 8,
    "learning_rate": 1e-2,
}


def games(count, num_tasks=3, seed=0):
    """Losses as a training might show them."""
    generator = torch.Generator().manual_seed(seed)
    for k in range(count):
        yield 0.98**k * (0.1 + torch.rand(num_tasks, generator=generator))


def play(method, rounds, start=0):
    """Let the method see the losses, with the ends of epochs, and return its weights."""
    weights = []
    for k, losses_T in enumerate(rounds, start=start + 1):
        weights.append(method.weights(losses_T).tolist())
        if k % EPOCH == 0:
            method.end_epoch()
    return weights


def test_base_rewards_and_transitions_by_hand():
    method = IGBv2(2, **SMALL | {"reward_scale": 10.0, "update_after_epochs": 9})
    losses = [torch.tensor(x) for x in ([3.0, 1.0], [1.0, 3.0], [2.0, 5.0], [1.0, 4.0], [1.5, 1.0])]
    weights, rewards = [], []
    for k, losses_T in enumerate(losses):
        weights.append(method.weights(losses_T))
        rewards.append(method.diagnostics["reward"])
        if k == 1:
            method.end_epoch()  # base: (2, 2)
    # drops: (-1, -2), (1, 1), (-0.5, 3); the smaller one over 2 times 10
    assert rewards == [0, 0, -10, 5, -2.5]
    stored = method.replay.contents()
    assert stored.rewards_B.tolist() == [-10, 5, -2.5]
    torch.testing.assert_close(stored.losses_BT, torch.stack(losses[1:4]))
    torch.testing.assert_close(stored.next_losses_BT, torch.stack(losses[2:5]))
    torch.testing.assert_close(stored.weights_BT, torch.stack(weights[1:4]).float())


def test_the_base_is_the_mean_of_its_epoch_alone():
    method = IGBv2(2, **SMALL | {"base_epoch": 1, "update_after_epochs": 2})
    for epoch, losses in enumerate(([7.0, 7.0], [1.0, 2.0], [9.0, 9.0])):
        for factor in (1, 2, 3):
            method.weights(factor * torch.tensor(losses))
        assert len(method.replay) == (3 if epoch == 2 else 0)
        method.end_epoch()
    assert method.base_losses_T.tolist() == [2, 4]


def test_an_epoch_without_an_update_counts_for_nothing():
    method = IGBv2(2, **SMALL)
    method.end_epoch()
    method.weights(torch.tensor([3.0, 1.0]))
    method.end_epoch()
    assert method.base_losses_T.tolist() == [3, 1]


def test_the_schedule_of_the_official_defaults():
    """Random weights in epochs 0 to 4, transitions from epoch 2, updates from epoch 3 on."""
    method = IGBv2(2, hidden_dim=4)
    made, stored, policy = {}, {}, []
    before = 0
    for k, losses_T in enumerate(games(7 * 40, num_tasks=2)):
        drawn = method.generator.get_state()
        weights_T = method.weights(losses_T)
        stored[k] = len(method.replay)
        if method.updates > before:
            made[k], before = method.updates - before, method.updates
        else:
            probe = torch.Generator()
            probe.set_state(drawn)
            scores = torch.randn(2, generator=probe, dtype=torch.float64)
            if not torch.equal(weights_T, 2 * scores.softmax(0)):
                policy.append(k)
        if k % 40 == 39:
            method.end_epoch()
    assert [stored[k] for k in (79, 80, 81, 279)] == [0, 1, 2, 200]
    # steps 120 to 279 that are multiples of 50; k = 1 + size / 10000 is hardly above 1
    assert made == {150: 25, 200: 25, 250: 25}
    assert policy == [k for k in range(200, 280) if k not in made]


def test_before_there_is_anything_to_tell_the_diagnostics_are_zero():
    method = IGBv2(2, **SMALL | {"initial_alpha": 0.5})
    method.weights(torch.ones(2))
    told = dict(method.diagnostics)
    assert told.pop("alpha") == pytest.approx(0.5)
    assert set(told.values()) == {0.0}
    assert list(told) == ["reward", "updates", "critic_loss", "actor_loss", "entropy"]


def test_an_absent_task_keeps_its_last_loss_and_the_others_share_its_weight():
    method, twin = (IGBv2(3, **SMALL) for _ in range(2))
    rounds = [([5.0], (1,)), ([2.0, 0.3, 4.0], ()), ([0.5, 0.25], (0, 2))]
    known = [[1.0, 5.0, 1.0], [2.0, 0.3, 4.0], [0.5, 0.3, 0.25]]  # 1 of what was never seen
    for (losses, present), all_losses in zip(rounds, known, strict=True):
        method.present = torch.tensor(present) if present else None
        weights_S = method.weights(torch.tensor(losses))
        all_T = twin.weights(torch.tensor(all_losses))
        expected_S = all_T[list(present)] if present else all_T
        assert weights_S.sum().item() == pytest.approx(len(losses))
        torch.testing.assert_close(weights_S / weights_S.sum(), expected_S / expected_S.sum())
        assert method.previous_losses_T.tolist() == pytest.approx(all_losses)
        assert torch.equal(method.previous_weights_T, twin.previous_weights_T)


def test_updates_and_batches_grow_with_the_buffer(monkeypatch):
    method = IGBv2(2, **SMALL | {"update_every": 10, "buffer_size": 10, "batch_size": 20})
    sizes = []
    sample = method.replay.sample
    monkeypatch.setattr(
        method.replay,
        "sample",
        lambda size, generator: sizes.append(size) or sample(size, generator),
    )
    made = []
    for k, losses_T in enumerate(games(41, num_tasks=2)):
        method.weights(losses_T)
        if k == 4:
            method.end_epoch()
        made.append(method.updates)
    # step 10: 6 of 10 rows, k = 1.6; from step 20 on: a full buffer, k = 2
    assert [made[k] for k in (9, 10, 20, 30, 40)] == [0, 8, 18, 28, 38]
    assert sizes == [16] * 8 + [20] * 30


def test_every_field_of_the_agent_reaches_it():
    fields = {"tau": 0.1, "gamma": 0.2, "learning_rate": 0.3, "initial_alpha": 0.4}
    sac = IGBv2(2, hidden_dim=9, log_prob="gaussian", buffer_size=11, **fields).sac
    assert (sac.tau, sac.gamma) == (0.1, 0.2)
    for optimizer in (*sac.optimizers.values(), sac.temperature._optimizer):
        assert [group["lr"] for group in optimizer.param_groups] == [0.3]
    assert sac.temperature.value() == pytest.approx(0.4)
    assert sac.actor.log_prob == "gaussian"
    assert sac.critics.view(sac.critics.flat_TP).weight1_TIH.shape[2] == 9


@pytest.mark.parametrize("log_prob", ["softmax", "gaussian", "tanh"])
def test_weights_sum_to_t_and_diagnostics_keep_their_keys(log_prob):
    method = IGBv2(3, log_prob=log_prob, **SMALL)
    keys = None
    for k, scale in enumerate([1.0, 1e-30, 1e6, 1e-3] * 5, start=1):
        weights_T = method.weights(scale * torch.tensor([0.5, 1.0, 2.0]))
        assert weights_T.shape == (3,)
        assert (weights_T >= 0).all()
        assert weights_T.sum().item() == pytest.approx(3)
        assert all(math.isfinite(value) for value in method.diagnostics.values())
        keys = keys or list(method.diagnostics)
        assert list(method.diagnostics) == keys
        if k % EPOCH == 0:
            method.end_epoch()
    assert method.updates > 0


@pytest.mark.parametrize("head_weighting", ["weighted", "unweighted"])
@pytest.mark.parametrize("before", [0, 11], ids=["random weights", "policy"])
def test_gradients_are_those_of_the_weighted_logarithms(before, head_weighting):
    trunk, heads, losses = tiny_net()
    method = IGBv2(3, head_weighting=head_weighting, **SMALL)
    play(method, games(before))
    shared = list(trunk.parameters())
    own = [list(head.parameters()) for head in heads]
    rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    own_rows = [
        torch.autograd.grad(loss, parameters, retain_graph=True)
        for loss, parameters in zip(losses, own, strict=True)
    ]
    values = [loss.item() for loss in losses]
    info = method.step(TaskGradients(losses, shared, own), epoch=0)
    w = info.weights_T.tolist()
    assert sum(w) == pytest.approx(3)
    assert len(set(w)) == 3
    for i, parameter in enumerate(shared):
        expected = sum(w[t] / values[t] * rows[t][i] for t in range(3))
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-6)
    for t in range(3):
        factor = w[t] / values[t] if head_weighting == "weighted" else 1.0
        for parameter, gradient in zip(own[t], own_rows[t], strict=True):
            torch.testing.assert_close(parameter.grad, factor * gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("before", [0, 1, 3, 4, 6, 9, 30])
def test_saved_and_loaded_it_goes_on_bit_for_bit(before):
    """Before the base is known, between base and updates, in the middle, with a full buffer."""
    original = IGBv2(3, seed=1, **SMALL)
    rounds = list(games(before + 9))
    play(original, rounds[:before])
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored = IGBv2(3, seed=2, **SMALL)
    restored.load_state_dict(torch.load(file, weights_only=True))
    first = play(original, rounds[before:], start=before)
    assert first == play(restored, rounds[before:], start=before)
    assert original.diagnostics == restored.diagnostics
    assert original.updates > 0
    assert as_plain(original.state_dict()) == as_plain(restored.state_dict())


def test_seeds_decide_everything_and_global_randomness_nothing():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    runs = [play(IGBv2(3, seed=seed, **SMALL), games(16)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert random.getstate() == states[0]
    assert as_plain(np.random.get_state()[1].tolist()) == states[1][1].tolist()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([-0.5, 1.0], "the loss of task 0 is -0.5, .*: use another method"),
        ([1.0, math.nan], "the loss of task 1 is not finite"),
        ([math.inf, 1.0], "the loss of task 0 is not finite"),
    ],
)
def test_losses_without_a_logarithm_stop_before_they_are_remembered(losses, message):
    method = IGBv2(2, **SMALL)
    play(method, games(7, num_tasks=2))
    before = copy.deepcopy(as_plain(method.state_dict()))
    with pytest.raises(TrainingError, match=message):
        method.weights(torch.tensor(losses))
    assert as_plain(method.state_dict()) == before


@pytest.mark.parametrize("tiny", [0.0, 1e-42])
def test_a_loss_of_zero_has_no_part_in_the_gradient(tiny):
    shared = torch.ones(2, requires_grad=True)
    method = IGBv2(2, **SMALL)
    losses = [3 * shared[0], shared[1] - shared[1].detach() + tiny]
    info = method.step(TaskGradients(losses, [shared], [[], []]), epoch=0)
    assert info.weights_T.sum().item() == pytest.approx(2)
    torch.testing.assert_close(
        shared.grad, torch.stack([info.weights_T[0], torch.tensor(0.0)]).float()
    )


def test_a_loss_of_zero_is_remembered_where_the_task_has_no_labels():
    method = IGBv2(2, **SMALL)
    for losses in ([2.0, 0.0], [2.0, 0.0]):
        method.weights(torch.tensor(losses))
    method.present = torch.tensor([0])
    method.weights(torch.tensor([1.5]))
    assert method.previous_losses_T.tolist() == [1.5, 0]
    method.end_epoch()  # base: (11/6, 0)
    method.weights(torch.tensor([1.0]))
    assert method.diagnostics["reward"] == pytest.approx(0.5 / (5.5 / 3))


def test_updates_before_there_is_a_base_are_refused():
    with pytest.raises(ConfigError, match=r"method\.update_after_epochs=1: .*base_epoch=1"):
        IGBv2(2, update_after_epochs=1)


SPEEDS = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)


def slowest(method, steps):
    """Play against losses that fall from 5 by a w / 1000 a step.

    Returns the speed a w of the slowest task, averaged over the last steps.
    """
    losses_T = torch.full((3,), 5.0, dtype=torch.float64)
    speeds = []
    for k in range(1, steps + 1):
        falls_T = SPEEDS * method.weights(losses_T)
        losses_T = losses_T - 1e-3 * falls_T
        speeds.append(falls_T.min().item())
        if k % 50 == 0:
            method.end_epoch()
    return sum(speeds[-200:]) / 200


@pytest.mark.parametrize("seed", gate(1, range(3)))
def test_it_learns_to_balance_and_beats_random_and_equal_weights(seed):
    """The best weights are in proportion to 1 / a: every task at the rate 3 / (1 + 2 + 4)."""
    settings = {
        "seed": seed,
        "hidden_dim": 32,
        "learning_rate": 5e-3,
        "update_every": 10,
        "batch_size": 64,
        "buffer_size": 1000,
        "gamma": 0.0,
        "reward_scale": 5e3,
        "initial_alpha": 0.05,
    }
    learned = slowest(IGBv2(3, **settings), 900)
    chance = slowest(IGBv2(3, random_epochs=99, update_after_epochs=99, **settings), 900)
    equal = SPEEDS.min().item()
    assert chance < equal < 0.33 < learned < 3 / 7


def test_config_shows_every_default():
    config = OmegaConf.load(CONFIG)
    assert CONFIG.read_text().startswith("# IGBv2: ")
    shown = OmegaConf.to_container(config, resolve=False)
    assert shown.pop("_target_") == "mtl_bench.methods.igbv2.IGBv2"
    assert shown.pop("display")["name"] == "IGBv2"
    parameters = inspect.signature(IGBv2).parameters
    elsewhere = {"num_tasks", "seed"}
    assert shown == {k: p.default for k, p in parameters.items() if k not in elsewhere}


@pytest.mark.data
def test_a_smoke_run_reaches_every_part(qm9_data, tmp_path, capsys):
    """10 epochs of 8 steps: base in epoch 1, updates from epoch 3, the policy from epoch 5 on."""
    small = ("update_every=4", "batch_size=8", "buffer_size=30", "hidden_dim=8")
    words = [
        *("train", "dataset=qm9", "method=igbv2", "profile=smoke", "logger.progress=off"),
        *(f"method.{setting}" for setting in small),
        *(f"paths.data={qm9_data}", f"paths.results={tmp_path}", "trainer.device=cpu"),
    ]
    assert main(words) == 0
    (record,) = tmp_path.rglob("DONE")
    steps = read_steps(record.parent / "steps")
    assert len(steps["step"]) == 80
    made = np.array(steps["updates"])
    assert [made[k] for k in (23, 24, 27, 28)] == [0, 2, 2, 4]
    assert made[-1] > 30
    assert (np.array(steps["reward"])[:16] == 0).all()
    assert (np.array(steps["reward"])[16:] != 0).all()
    weights = np.array([steps[name] for name in steps if name.startswith("weight/")])
    np.testing.assert_allclose(weights.sum(axis=0), 11, rtol=1e-5)
    summary = json.loads((record.parent / "summary.json").read_text())
    assert summary["status"] == "finished"
