import copy
import inspect
import io
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import mtl_bench
from mtl_bench.errors import ConfigError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import Equal
from mtl_bench.methods.taskforce import TaskForce
from mtl_bench.testing.methods import as_plain
from tests.methods.streams import Network, tiny_net

CONFIG = Path(mtl_bench.__file__).parents[1] / "configs" / "method" / "taskforce.yaml"
SMALL = {"hidden_dim": 8, "batch_size": 4, "learning_rate": 1e-2}
E = math.e


def games(count, num_tasks, seed=0):
    """Losses and Gram matrices as a training might show them."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        gradients = torch.randn(num_tasks, 6, generator=generator, dtype=torch.float64)
        yield torch.rand(num_tasks, generator=generator), gradients @ gradients.T


def set_actions(method, actions):
    """Make every actor answer with a constant, whatever it sees."""
    method.agents.actors.flat_TP.zero_()
    outputs = method.agents.actors.view(method.agents.actors.flat_TP).bias3_T1M
    outputs[:, 0, 0] = torch.atanh(torch.tensor(actions))


@pytest.mark.parametrize("normalize", ["none", "l2", "loss", "loss+"])
def test_agents_that_may_not_move_weigh_as_equal_does(normalize):
    bound, alike = (
        TaskForce(3, normalize=normalize, action_bound=1e-9, **SMALL),
        Equal(3, normalize=normalize),
    )
    for _ in range(8):
        updates = []
        for method in (bound, alike):
            network = Network()
            method.step(network.gradients(), epoch=0)
            updates.append(torch.cat([network.shared_gradient(), *network.head_gradients()]))
        torch.testing.assert_close(*updates)


def test_three_steps_of_algorithm_1_by_hand():
    method = TaskForce(
        2, normalize="none", lambda_l=2.0, lambda_g=10.0, noise_start=0.0, noise_end=0.0
    )
    quiet = torch.tensor([0.0, 0.0])
    loud = torch.tensor([math.log(3) / 2, -math.log(3) / 2])  # w = 3/4, 1/4
    losses = [torch.tensor(x) for x in ([E**2 - 1, E - 1], [E - 1, E - 1], [E - 1, E**2 - 1])]
    grams = [
        torch.tensor(k, dtype=torch.float64)
        for k in ([[4, 2], [2, 8]], [[1, 0], [0, 16]], [[9, 9], [9, 9]])
    ]
    observations = [
        torch.tensor(o)
        for o in ([[4, 2, 2.0], [2, 8, 1]], [[1, 0, 1.0], [0, 16, 1]], [[9, 9, 1.0], [9, 9, 2]])
    ]

    set_actions(method, [0.0, 0.0])
    torch.testing.assert_close(method.weights(losses[0], grams[0]).tolist(), [0.5, 0.5])
    assert len(method.memory.replay) == 0
    assert method.diagnostics["reward"] == 0

    set_actions(method, loud.tolist())
    torch.testing.assert_close(
        method.weights(losses[1], grams[1]).tolist(), [0.75, 0.25], rtol=1e-6, atol=0
    )
    # summed log losses 3 -> 2; w'Kw = (4 + 2 + 2 + 8) / 4 = 4 with the first step's w and K
    assert method.diagnostics["reward_loss"] == pytest.approx(1, rel=1e-6)
    assert method.diagnostics["reward_gradient"] == pytest.approx(-4)
    assert method.diagnostics["weight_entropy"] == pytest.approx(math.log(4) - 0.75 * math.log(3))
    first = 2 * 1 - 10 * 4

    set_actions(method, [0.0, 0.0])
    method.weights(losses[2], grams[2])
    # 2 -> 3; w'Kw = 9/16 * 1 + 1/16 * 16 = 25/16 with the second step's
    second = 2 * -1 - 10 * 25 / 16
    assert method.diagnostics["reward"] == pytest.approx(second, rel=1e-6)
    assert method.diagnostics["reward_deviation"] == pytest.approx((second - first) / 2, rel=1e-6)
    assert method.diagnostics["weight_entropy"] == pytest.approx(math.log(2), rel=1e-6)

    stored = method.memory.replay.contents()
    torch.testing.assert_close(stored.observations_BTO, torch.stack(observations[:2]))
    torch.testing.assert_close(stored.actions_BT, torch.stack([quiet, loud]))
    torch.testing.assert_close(
        stored.rewards, torch.tensor([first, second], dtype=torch.float64), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(stored.next_observations_BTO, torch.stack(observations[1:]))


@pytest.mark.parametrize(("update_every", "updates"), [(1, [5, 6, 7, 8]), (3, [6])])
def test_agents_learn_from_iteration_b_plus_1_on(update_every, updates):
    method = TaskForce(2, update_every=update_every, **SMALL)
    seen = []
    for i, (losses_T, gram_TT) in enumerate(games(8, 2), start=1):
        before = [method.agents.actors.flat_TP.clone(), method.agents.critics.flat_TP.clone()]
        method.weights(losses_T, gram_TT)
        after = [method.agents.actors.flat_TP, method.agents.critics.flat_TP]
        changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert all(changed) == any(changed)
        if changed[0]:
            seen.append(i)
    assert seen == updates


def test_noise_is_scaled_down_and_actions_are_clamped():
    settings = {"noise_steps": 4, "noise_start": 0.5, "noise_end": 0.1, "noise_sigma": 50.0}
    method = TaskForce(3, **settings, **SMALL)
    scales, saturated = [], []
    for losses_T, gram_TT in games(6, 3):
        method.weights(losses_T, gram_TT)
        assert method.memory.actions_T.abs().max() <= 1
        scales.append(method.diagnostics["noise_scale"])
        saturated.append(method.diagnostics["saturated"])
    assert scales == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    assert max(saturated) == 1
    free = TaskForce(3, action_bound=None, **settings, **SMALL)
    for losses_T, gram_TT in games(6, 3):
        free.weights(losses_T, gram_TT)
    assert free.memory.actions_T.abs().max() > 1
    assert free.diagnostics["saturated"] == 0


def test_weights_are_those_of_the_actions_with_their_noise():
    """Actors that answer 0 leave the noise alone: x <- (1 - theta) x + sigma n."""
    method = TaskForce(3, noise_start=0.5, noise_end=0.5, noise_theta=0.25, noise_sigma=0.4)
    set_actions(method, [0.0, 0.0, 0.0])
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())
    noise_T = torch.zeros(3)
    for losses_T, gram_TT in games(5, 3):
        noise_T = 0.75 * noise_T + 0.4 * torch.randn(3, generator=generator)
        actions_T = (0.5 * noise_T).clamp(-1, 1)
        weights_T = method.weights(losses_T, gram_TT)
        torch.testing.assert_close(weights_T, actions_T.double().softmax(0), rtol=1e-5, atol=0)
        torch.testing.assert_close(method.memory.actions_T, actions_T)
        assert weights_T.std() > 1e-3


def test_every_field_of_the_agents_and_the_noise_reaches_them():
    method = TaskForce(
        2,
        tau=0.1,
        critic_inputs="layer_norm",
        penalty_on="raw_output",
        gamma=0.2,
        grad_clip=0.3,
        action_penalty=0.4,
        learning_rate=0.5,
        noise_theta=0.6,
        noise_sigma=0.7,
        action_bound=0.8,
        hidden_dim=9,
    )
    agents = method.agents
    assert (agents.tau, agents.gamma, agents.grad_clip) == (0.1, 0.2, 0.3)
    assert (agents.action_penalty, agents.action_bound) == (0.4, 0.8)
    assert (agents.critic_inputs, agents.penalise_raw) == ("layer_norm", True)
    for optimizer in agents.optimizers.values():
        assert [group["lr"] for group in optimizer.param_groups] == [0.5]
    for networks in (agents.actors, agents.critics):
        assert networks.view(networks.flat_TP).weight1_TIH.shape[2] == 9
    assert (method.noise.theta, method.noise.sigma) == (0.6, 0.7)


ZOO = {
    "identity": torch.eye(3),
    "rank one": torch.ones(3, 3),
    "zero row": torch.diag(torch.tensor([0.0, 1.0, 2.0])),
    "all zero": torch.zeros(3, 3),
    "opposed": torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1]]),
    "tiny": 1e-10 * torch.eye(3),
    "huge": 1e15 * torch.ones(3, 3),
    "beyond float32": 1e60 * torch.eye(3, dtype=torch.float64),
    "mixed": torch.diag(torch.tensor([1e-20, 1.0, 1e30])),
    "single": torch.tensor([[4.0]]),
}


@pytest.mark.parametrize("normalize", ["none", "l2", "loss", "loss+"])
@pytest.mark.parametrize("gram", ZOO.values(), ids=ZOO)
def test_weights_stay_on_the_simplex(gram, normalize):
    method = TaskForce(len(gram), normalize=normalize, buffer_size=6, **SMALL)
    keys = None
    for step in range(10):
        losses_T = torch.full((len(gram),), [0.0, 1e-8, 1.0, 1e8][step % 4])
        weights_T = method.weights(losses_T, gram.double() * 3.0 ** (step % 2))
        assert weights_T.shape == (len(gram),)
        assert (weights_T > 0).all()
        assert weights_T.sum().item() == pytest.approx(1)
        assert all(math.isfinite(value) for value in method.diagnostics.values())
        keys = keys or list(method.diagnostics)
        assert list(method.diagnostics) == keys
    assert all(t.isfinite().all() for t in method.parameters())


def test_diagnostics_are_zero_before_there_is_anything_to_tell():
    method = TaskForce(3, **SMALL | {"noise_start": 0.4, "noise_end": 0.1, "noise_steps": 10})
    told = []
    for losses_T, gram_TT in games(8, 3):
        method.weights(losses_T, gram_TT)
        told.append(dict(method.diagnostics))
    first = told[0]
    assert first.pop("noise_scale") == pytest.approx(0.4)
    assert first.pop("weight_entropy") > 0
    first.pop("saturated")
    assert set(first.values()) == {0.0}
    assert told[1]["noise_scale"] == pytest.approx(0.37)
    assert told[-1]["td_error"] == pytest.approx(told[-1]["critic_loss"] ** 0.5)
    assert told[-1]["critic_loss"] > 0


@pytest.mark.parametrize("head_weighting", ["weighted", "unweighted"])
@pytest.mark.parametrize("scope", ["all", "observation"])
@pytest.mark.parametrize("normalize", ["l2", "loss+"])
def test_gradients_of_a_real_network(normalize, scope, head_weighting):
    trunk, heads, losses = tiny_net()
    shared = list(trunk.parameters())
    own = [list(head.parameters()) for head in heads]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)])
        for loss in losses
    ]
    own_expected = [
        torch.autograd.grad(loss, parameters, retain_graph=True)
        for loss, parameters in zip(losses, own, strict=True)
    ]
    method = TaskForce(
        3, normalize=normalize, normalize_scope=scope, head_weighting=head_weighting, **SMALL
    )
    info = method.step(TaskGradients(losses, shared, own))
    w = info.weights_T.tolist()
    assert sum(w) == pytest.approx(1)
    assert len(set(w)) == 3
    expected = torch.zeros_like(rows[0])
    for weight, row, loss in zip(w, rows, losses, strict=True):
        factor = 1 / row.norm() if scope == "all" else torch.tensor(1.0)
        if scope == "all" and normalize == "loss+":
            factor = factor / loss.detach()
        expected += weight * factor * row
    actual = torch.cat([p.grad.flatten() for p in shared])
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    for weight, parameters, gradients in zip(w, own, own_expected, strict=True):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            factor = weight if head_weighting == "weighted" else 1.0
            torch.testing.assert_close(parameter.grad, factor * gradient)


@pytest.mark.parametrize("scope", ["all", "observation"])
def test_scope_decides_which_gram_is_rewarded(scope):
    method = TaskForce(2, normalize_scope=scope, noise_start=0.0, noise_end=0.0)
    set_actions(method, [0.0, 0.0])
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 100.0]], dtype=torch.float64)
    for _ in range(2):
        method.weights(torch.ones(2), gram_TT)
    expected = -0.5 if scope == "all" else -26.0
    assert method.diagnostics["reward_gradient"] == pytest.approx(expected)
    observed = method.memory.replay.contents().observations_BTO[0, :, :2]
    torch.testing.assert_close(observed, torch.eye(2))


@pytest.mark.parametrize(
    ("scope", "gradients", "expected"),
    [("all", "raw", -26.0), ("all", "normalized", -0.5), ("observation", "raw", -26.0)],
)
def test_the_reward_may_be_of_the_raw_gradients(scope, gradients, expected):
    method = TaskForce(
        2, normalize_scope=scope, reward_gradients=gradients, noise_start=0.0, noise_end=0.0
    )
    set_actions(method, [0.0, 0.0])
    gram_TT = torch.tensor([[4.0, 0.0], [0.0, 100.0]], dtype=torch.float64)
    for _ in range(2):
        method.weights(torch.ones(2), gram_TT)
    assert method.diagnostics["reward_gradient"] == pytest.approx(expected)


@pytest.mark.parametrize("before", [0, 1, 3, 9, 30])
def test_saved_and_loaded_it_goes_on_bit_for_bit(before):
    settings = SMALL | {"buffer_size": 20, "update_every": 2}
    original = TaskForce(3, seed=1, **settings)
    rounds = list(games(before + 8, 3))
    for losses_T, gram_TT in rounds[:before]:
        original.weights(losses_T, gram_TT)
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored = TaskForce(3, seed=2, **settings)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for losses_T, gram_TT in rounds[before:]:
        weights_T = original.weights(losses_T, gram_TT)
        assert torch.equal(weights_T, restored.weights(losses_T, gram_TT))
        assert original.diagnostics == restored.diagnostics
    assert as_plain(original.state_dict()) == as_plain(restored.state_dict())


def test_seeds_decide_everything_and_global_randomness_nothing():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    runs = []
    for seed in (0, 0, 1):
        method = TaskForce(3, seed=seed, **SMALL)
        runs.append([method.weights(*game).tolist() for game in games(8, 3)])
    assert runs[0] == runs[1] != runs[2]
    assert random.getstate() == states[0]
    assert as_plain(np.random.get_state()[1].tolist()) == states[1][1].tolist()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    ("losses", "square", "message"),
    [
        ([1.0, math.nan], 1.0, "task 1: loss nan"),
        ([-0.5, 1.0], 1.0, "task 0: loss -0.5"),
        ([1.0, 1.0], math.inf, "task 1: loss 1, squared gradient norm inf"),
    ],
)
def test_bad_numbers_stop_before_they_are_remembered(losses, square, message):
    method = TaskForce(2, **SMALL)
    for losses_T, gram_TT in games(5, 2):
        method.weights(losses_T, gram_TT)
    before = copy.deepcopy(as_plain(method.state_dict()))
    gram_TT = torch.diag(torch.tensor([1.0, square], dtype=torch.float64))
    with pytest.raises(TrainingError, match=message):
        method.weights(torch.tensor(losses), gram_TT)
    assert as_plain(method.state_dict()) == before


def test_a_batch_of_one_is_refused():
    with pytest.raises(ConfigError, match="batch_size"):
        TaskForce(2, batch_size=1)
    assert TaskForce(2, batch_size=2).batch_size == 2


def test_config_shows_every_default():
    config = OmegaConf.load(CONFIG)
    assert CONFIG.read_text().startswith("# TaskForce: ")
    shown = OmegaConf.to_container(config, resolve=False)
    assert shown.pop("_target_") == "mtl_bench.methods.taskforce.TaskForce"
    assert shown.pop("display")["name"] == "TaskForce"
    assert shown.pop("head_weighting") == "${protocol.head_weighting}"
    assert shown.pop("noise_steps") == "${profile.${dataset.name}.exploration_steps}"
    parameters = inspect.signature(TaskForce).parameters
    elsewhere = {"num_tasks", "seed", "head_weighting", "noise_steps"}
    assert shown == {k: p.default for k, p in parameters.items() if k not in elsewhere}


ROWS = {
    "gram": {"agents": "single", "policy_input": "global", "gradient_reward": "none"},
    "ma": {
        "critic": "own",
        "policy_input": "global",
        "reward_scope": "own",
        "gradient_reward": "none",
    },
    "ct": {"policy_input": "global", "reward_scope": "own", "gradient_reward": "none"},
    "de": {"gradient_reward": "none"},
    "imtl": {"gradient_reward": "imtl", "lambda_g": 1.0},
    "own reward and r_G": {"reward_scope": "own"},
    "matd3": {"learner": "matd3", "critic_inputs": "batch_norm"},
    "bandit": {"learner": "bandit", "gamma": 0.0, "gradient_reward": "nash", "lambda_l": 0.0},
}
"""The steps of the paper's ablation."""


class Seen:
    """Task gradients of which only the losses and the Gram matrix are asked for."""

    def __init__(self, losses_T, gram_TT):
        self.losses_T, self._gram_TT = losses_T, gram_TT
        self.tasks = tuple(range(len(losses_T)))

    def gram(self):
        return self._gram_TT


def play(method, rounds):
    """Let the method play and look again where it wants to; return all that it says."""
    said = []
    for k, (losses_T, gram_TT) in enumerate(rounds):
        said.append(method.weights(losses_T, gram_TT).tolist())
        if method.looks_again:
            method.after_update(Seen(0.9 * losses_T, gram_TT * (1 + 0.1 * (k % 3))))
        said.append(dict(method.diagnostics))
    return said


@pytest.mark.parametrize("transition", ["next_batch", "same_batch"])
@pytest.mark.parametrize("row", ROWS)
def test_every_row_goes_on_bit_for_bit(row, transition):
    settings = SMALL | ROWS[row] | {"buffer_size": 9, "transition": transition}
    rounds = list(games(24, 3))
    whole = TaskForce(3, seed=1, **settings)
    expected = play(whole, rounds)
    first = TaskForce(3, seed=1, **settings)
    play(first, rounds[:13])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    restored = TaskForce(3, seed=2, **settings)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert play(restored, rounds[13:]) == expected[2 * 13 :]
    assert as_plain(restored.state_dict()) == as_plain(whole.state_dict())
    assert len({tuple(line) for line in map(str, expected[::2])}) > 1


def test_rows_are_rewarded_as_their_names_say():
    losses = [torch.tensor([E**2 - 1, E - 1]), torch.tensor([E - 1, E**3 - 1])]
    gram_TT = torch.eye(2, dtype=torch.float64)
    stored = {}
    for row in ("gram", "ma", "ct", "de", "own reward and r_G"):
        method = TaskForce(2, noise_start=0.0, noise_end=0.0, **SMALL | ROWS[row])
        method.agents.actors.flat_TP.zero_()
        for losses_T in losses:
            method.weights(losses_T, gram_TT)
        stored[row] = method.memory.replay.contents().rewards[0].tolist()
    half = 0.5e-3
    assert stored["ma"] == stored["ct"] == pytest.approx([1, -2], rel=1e-6)
    assert stored["gram"] == stored["de"] == pytest.approx(-1, rel=1e-6)
    assert stored["own reward and r_G"] == pytest.approx([1 - half, -2 - half], rel=1e-6)


@pytest.mark.parametrize("scope", ["shared", "own"])
def test_the_first_loss_of_a_task_adds_nothing_to_a_reward(scope):
    settings = SMALL | {"reward_scope": scope, "gradient_reward": "none"}
    method = TaskForce(2, **settings)
    method.present = torch.tensor([0])
    method.weights(torch.tensor([E**2 - 1]), torch.ones(1, 1, dtype=torch.float64))
    method.present = None
    drops = []
    for logs in ([1.0, 5.0], [3.0, 1.0]):
        method.weights(torch.tensor(logs).expm1(), torch.eye(2, dtype=torch.float64))
        drops.append(method.diagnostics["reward_loss"])
    assert drops == pytest.approx([2 - 1, 1 - 3 + 5 - 1], rel=1e-5)
    stored = method.memory.replay.contents().rewards.tolist()
    expected = [[1, 0], [-2, 4]] if scope == "own" else [1, 2]
    assert stored == [pytest.approx(reward, rel=1e-5) for reward in expected]


def test_a_checkpoint_that_tells_no_tasks_apart_goes_on_as_it_began():
    rounds = list(games(12, 3))
    method, restored = (TaskForce(3, seed=seed, **SMALL) for seed in (1, 2))
    play(method, rounds[:6])
    state = copy.deepcopy(method.state_dict())
    del state["memory.seen_T"]
    restored.load_state_dict(state)
    assert play(restored, rounds[6:]) == play(method, rounds[6:])
    assert as_plain(restored.state_dict()) == as_plain(method.state_dict())


def test_algorithm_2_completes_a_transition_with_the_same_batch():
    method = TaskForce(
        2, transition="same_batch", normalize="none", lambda_g=10.0, noise_start=0.0, noise_end=0.0
    )
    set_actions(method, [0.0, 0.0])
    before, after = torch.tensor([E**2 - 1, E - 1]), torch.tensor([E - 1, E - 1])
    gram_TT = torch.tensor([[4, 2], [2, 8]], dtype=torch.float64)
    again_TT = torch.tensor([[1, 0], [0, 16]], dtype=torch.float64)
    for step in range(3):
        method.weights(before, gram_TT)
        assert len(method.memory.replay) == step
        assert method.diagnostics["reward"] == 0
        diagnostics = method.after_update(Seen(after, again_TT))
        assert diagnostics["reward_loss"] == pytest.approx(1, rel=1e-6)
        assert diagnostics["reward_gradient"] == pytest.approx(-4)  # of the K that w was chosen for
        assert diagnostics["reward"] == pytest.approx(1 - 40, rel=1e-6)
        assert "weight_entropy" not in diagnostics  # it adds to what the step has said
        assert method.diagnostics["weight_entropy"] == pytest.approx(math.log(2))
    stored = method.memory.replay.contents()
    torch.testing.assert_close(stored.observations_BTO[2], torch.tensor([[4, 2, 2.0], [2, 8, 1]]))
    following = torch.tensor([[1, 0, 1.0], [0, 16, 1]])
    torch.testing.assert_close(stored.next_observations_BTO[2], following)


def test_algorithm_2_learns_when_the_transition_is_complete():
    method = TaskForce(2, transition="same_batch", **SMALL)
    seen = []
    for i, (losses_T, gram_TT) in enumerate(games(7, 2), start=1):
        before = method.agents.actors.flat_TP.clone()
        method.weights(losses_T, gram_TT)
        assert torch.equal(before, method.agents.actors.flat_TP)
        method.after_update(Seen(losses_T, gram_TT))
        if not torch.equal(before, method.agents.actors.flat_TP):
            seen.append(i)
    assert seen == [5, 6, 7]


def test_algorithm_2_learns_from_the_transition_that_it_has_just_stored(monkeypatch):
    method = TaskForce(2, transition="same_batch", **SMALL)
    sample, sizes = method.memory.replay.sample, []
    monkeypatch.setattr(
        method.memory.replay,
        "sample",
        lambda *drawn: sizes.append(len(method.memory.replay)) or sample(*drawn),
    )
    play(method, games(7, 2))
    assert sizes == [5, 6, 7]


def test_an_update_that_breaks_the_network_is_not_remembered():
    method = TaskForce(2, transition="same_batch", **SMALL)
    losses_T, gram_TT = next(games(1, 2))
    method.weights(losses_T, gram_TT)
    with pytest.raises(TrainingError, match="task 1: loss inf"):
        method.after_update(Seen(torch.tensor([1.0, math.inf]), gram_TT))
    assert len(method.memory.replay) == 0


@pytest.mark.parametrize("field", ["critic=own", "reward_scope=own", "policy_input=local"])
def test_a_single_agent_refuses_what_only_several_can_have(field):
    key, value = field.split("=")
    settings = {"agents": "single", "policy_input": "global"} | {key: value}
    with pytest.raises(ConfigError, match=rf"agents=single with method\.{field}: it needs"):
        TaskForce(3, **settings)


@pytest.mark.parametrize("fields", [{}, {"gamma": 0.0, "noise_start": 0.0}])
def test_a_bandit_without_its_fields_is_refused(fields):
    with pytest.raises(ConfigError, match=r"learner=bandit with .*: it needs method.gamma=0"):
        TaskForce(3, learner="bandit", **fields)


def test_a_bandit_learns_from_every_transition_once():
    method = TaskForce(2, learner="bandit", gamma=0.0, **SMALL)
    seen = []
    for i, (losses_T, gram_TT) in enumerate(games(14, 2), start=1):
        before = method.agents.actors.flat_TP.clone()
        method.weights(losses_T, gram_TT)
        if not torch.equal(before, method.agents.actors.flat_TP):
            seen.append(i)
    assert seen == [5, 9, 13]


def test_raw_gradients_are_refused_with_their_cost():
    trunk, heads, losses = tiny_net()
    shared = list(trunk.parameters())
    method = TaskForce(3, observation="raw", agents="single", policy_input="global")
    with pytest.raises(ConfigError, match=r"observation=raw .* 3 gradients of 42 shared .* \(x"):
        method.step(TaskGradients(losses, shared, [list(head.parameters()) for head in heads]))
