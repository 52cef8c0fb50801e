"""MATD3 and the bandit against plain autograd, and what learners learn."""

import copy
import io

import pytest
import torch

from mtl_bench.methods.taskforce.bandit import Bandit
from mtl_bench.methods.taskforce.matd3 import MATD3
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions
from tests.methods.taskforce.plain import PlainBandit, PlainMATD3
from tests.methods.taskforce.test_agents import BATCH, RATE, build, random_batch
from tests.nightly import gate

COMMON = {"agents": "multi", "policy_input": "local", "grad_clip": 0.5, "penalty_on": "action"}


def build_bandit(num_tasks=3, seed=0, **changed):
    fields = {"hidden_dim": 16, "action_bound": 1.0, "learning_rate": RATE, "action_penalty": 1e-2}
    generator = torch.Generator().manual_seed(seed)
    return Bandit(num_tasks, generator, **{"deviation": 0.3} | COMMON | fields | changed)


def in_bounds(batch):
    return batch._replace(actions_BT=batch.actions_BT.tanh())


@pytest.mark.parametrize("bound", [1.0, 0.7])
def test_matd3_equals_plain_autograd(bound):
    agents = build(3, bound, kind=MATD3).double()
    plain = PlainMATD3(agents, RATE)
    generator = torch.Generator().manual_seed(1)
    for _ in range(12):
        batch = in_bounds(random_batch(3, generator, torch.float64))
        noise = torch.Generator()
        noise.set_state(agents.generator.get_state())
        batch = batch._replace(actions_BT=bound * batch.actions_BT)
        assert plain.update(batch, noise) == pytest.approx(tuple(agents.update(batch)), rel=1e-8)
        for name in plain.names:
            for stacked, rows in (("", plain.online), ("target_", plain.target)):
                ours = getattr(agents, stacked + name).flat_TP.data
                expected = torch.stack([row.detach() for row in rows[name]])
                torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("bound", "scale"), [(1.0, 1.0), (0.7, 0.01)])
def test_the_bandit_equals_plain_autograd(bound, scale):
    bandit = build_bandit(action_bound=bound).double()
    plain = PlainBandit(bandit, RATE)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        batch = in_bounds(random_batch(3, generator, torch.float64))
        batch = batch._replace(actions_BT=bound * batch.actions_BT, rewards=scale * batch.rewards)
        assert plain.update(batch) == pytest.approx(tuple(bandit.update(batch)), rel=1e-8)
        for ours, rows in (
            (bandit.actors.flat_TP.data, plain.actors),
            (bandit.baselines.flat_TP.data, plain.baselines),
            (bandit.log_std_N1M.data.flatten(), list(plain.log_std)),
        ):
            expected = torch.stack([row.detach() for row in rows])
            torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-10)


def test_transitions_that_are_all_alike_have_no_advantages():
    bandit = build_bandit(action_penalty=0.0)
    batch = in_bounds(random_batch(3, torch.Generator().manual_seed(1)))
    alike = AgentTransitions(*(part[:1].expand_as(part).clone() for part in batch))
    assert bandit.update(alike).actor == pytest.approx(0, abs=1e-5)
    assert bandit.actors.flat_TP.isfinite().all()


def test_the_bandit_draws_from_its_gaussian():
    bandit = build_bandit(deviation=0.5)
    observation_TO = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    raw_NT = torch.stack([bandit.act(observation_TO) for _ in range(4000)]).atanh()
    torch.testing.assert_close(raw_NT.mean(0), torch.zeros(3), atol=0.04, rtol=0)
    torch.testing.assert_close(raw_NT.std(0), torch.full((3,), 0.5), atol=0.03, rtol=0)


@pytest.mark.parametrize("bound", [1.0, None])
@pytest.mark.parametrize("agents", ["multi", "single"])
@pytest.mark.parametrize("seed", gate(1, range(2)))
def test_the_bandit_learns_the_actions_that_pay(seed, agents, bound):
    """Doing nothing is 0.5 away from them."""
    goals_T = torch.tensor([0.5, -0.4])
    policy_input = "global" if agents == "single" else "local"
    fields = {"agents": agents, "policy_input": policy_input, "action_penalty": 1e-3}
    bandit = build_bandit(2, seed, action_bound=bound, **fields)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(60):
        batch = random_batch(2, generator)
        actions_BT = torch.stack([bandit.act(o) for o in batch.observations_BTO])
        rewards = -3 * (actions_BT - goals_T).square().sum(1)
        bandit.update(batch._replace(actions_BT=actions_BT, rewards=rewards))
    means_T = torch.stack([bandit._bounded(bandit.outputs(o)).flatten() for o in batch[0]]).mean(0)
    torch.testing.assert_close(means_T, goals_T, atol=0.2, rtol=0)


@pytest.mark.parametrize("seed", gate(1, range(2)))
def test_matd3_learns_the_actions_that_pay(seed):
    goals_T = torch.tensor([0.5, -0.4])
    fields = {"gamma": 0.0, "learning_rate": 1e-2, "action_penalty": 1e-3}
    agents = build(2, None, seed, kind=MATD3, **fields)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(1200):
        batch = random_batch(2, generator)
        actions_BT = 2 * torch.rand(BATCH, 2, generator=generator) - 1
        rewards = -3 * (actions_BT - goals_T).square().sum(1)
        agents.update(batch._replace(actions_BT=actions_BT, rewards=rewards))
    actions_T = torch.stack([agents.act(o) for o in batch.observations_BTO]).mean(0)
    torch.testing.assert_close(actions_T, goals_T, atol=0.3, rtol=0)


@pytest.mark.parametrize("kind", ["matd3", "bandit"])
def test_saved_and_loaded_they_go_on_bit_for_bit(kind):
    def make(seed):
        return build(3, seed=seed, kind=MATD3) if kind == "matd3" else build_bandit(3, seed)

    original, generator = make(0), torch.Generator().manual_seed(1)
    for _ in range(3):
        original.update(in_bounds(random_batch(3, generator)))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    snapshot = torch.load(file, weights_only=True)
    kept = copy.deepcopy(snapshot)
    restored = make(9)
    restored.load_state_dict(snapshot)
    restored.generator.set_state(original.generator.get_state())
    for _ in range(3):
        batch: AgentTransitions = in_bounds(random_batch(3, generator))
        assert original.update(batch) == restored.update(batch)
        assert torch.equal(original.act(batch[0][0]), restored.act(batch[0][0]))
    states = kept["_extra_state"], snapshot["_extra_state"]
    for name in states[0]:
        pair = [state[name]["state"][0]["exp_avg"] for state in states]
        assert torch.equal(*pair)  # training left the snapshot alone
