import copy
import io

import pytest
import torch
from torch import nn

from benchmarks.separate_agents import SeparateAgents
from mtl_bench.methods.taskforce.agents import Agents
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions
from mtl_bench.methods.taskforce.structure import Structure, agents_cost

HIDDEN, BATCH = 16, 12
TAU, GAMMA, CLIP, PENALTY, RATE = 0.05, 0.9, 0.5, 0.01, 5e-3


ROWS = {
    "gram": {"agents": "single", "policy_input": "global"},
    "ma": {"critic": "own", "policy_input": "global"},
    "ct": {"policy_input": "global"},
    "local, own": {"critic": "own"},
    "de": {},
}
"""Every structure that the agents can have."""


def build(num_tasks=3, action_bound=1.0, seed=0, kind=Agents, **changed):
    settings = {
        "hidden_dim": HIDDEN,
        "action_bound": action_bound,
        "learning_rate": RATE,
        "tau": TAU,
        "gamma": GAMMA,
        "grad_clip": CLIP,
        "action_penalty": PENALTY,
        "penalty_on": "action",
    }
    return kind(num_tasks, torch.Generator().manual_seed(seed), **settings | changed)


def random_batch(num_tasks, generator, dtype=torch.float32, own_rewards=False):
    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    observed = (BATCH, num_tasks, num_tasks + 1)
    rewarded = (BATCH, num_tasks) if own_rewards else (BATCH,)
    return AgentTransitions(
        3 * draw(*observed) + 1, draw(BATCH, num_tasks), 4 * draw(*rewarded), 2 * draw(*observed)
    )


def flatten(networks):
    rows = []
    for network in networks:
        linears = [module for module in network if isinstance(module, nn.Linear)]
        parts = [p for m in linears for p in (m.weight.T, m.bias)]
        parts += list(network[0].own.parameters())  # scale and shift, where there are any
        rows.append(torch.cat([p.flatten() for p in parts]).data)
    return torch.stack(rows)


def agree_over_updates(num_tasks, bound, own_rewards, structure, updates):
    """Return the gradient norms that the plain agents clipped."""
    agents = build(num_tasks, bound, **structure).double()
    separate = SeparateAgents(agents, num_tasks, RATE)
    generator = torch.Generator().manual_seed(1)
    for _ in range(updates):
        batch = random_batch(num_tasks, generator, torch.float64, own_rewards)
        critic_loss, actor_loss = separate.update(batch)
        losses = agents.update(batch)
        assert losses.critic == pytest.approx(critic_loss, rel=1e-9)
        assert losses.actor == pytest.approx(actor_loss, rel=1e-9)
        observation = batch.observations_BTO[0]
        torch.testing.assert_close(agents.act(observation), separate.act(observation))
    for name in ("actors", "critics", "target_actors", "target_critics"):
        stacked = getattr(agents, name).flat_TP.data
        torch.testing.assert_close(stacked, flatten(getattr(separate, name)), rtol=1e-8, atol=1e-10)
    return separate.norms


@pytest.mark.parametrize(("num_tasks", "bound"), [(3, 1.0), (4, None), (1, 2.0)])
def test_stacked_agents_equal_separate_ones_over_50_updates(num_tasks, bound):
    norms = agree_over_updates(num_tasks, bound, False, {}, 50)
    assert min(norms) < CLIP < max(norms)  # clipped and unclipped agents


@pytest.mark.parametrize("own_rewards", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("row", ROWS)
def test_every_structure_equals_plain_autograd(row, own_rewards):
    if own_rewards and row == "gram":
        pytest.skip("a single agent has one reward")
    for num_tasks, bound in ((3, 1.0), (2, None)):
        agree_over_updates(num_tasks, bound, own_rewards, ROWS[row], 12)


@pytest.mark.parametrize("penalty_on", ["action", "raw_output"])
@pytest.mark.parametrize("critic_inputs", ["raw", "batch_norm", "layer_norm"])
@pytest.mark.parametrize("row", ROWS)
def test_every_normalisation_and_penalty_equals_plain_autograd(row, critic_inputs, penalty_on):
    structure = ROWS[row] | {"critic_inputs": critic_inputs, "penalty_on": penalty_on}
    for num_tasks, bound in ((3, 1.0), (2, None)):
        agree_over_updates(num_tasks, bound, False, structure, 6)


def test_the_structures_have_the_sizes_that_are_computed_for_them():
    for structure in ROWS.values():
        agents = build(3, hidden_dim=16, **structure)
        computed = agents_cost(3, 4, Structure(**structure, hidden_dim=16)).parameters
        assert computed == agents.actors.flat_TP.numel() + agents.critics.flat_TP.numel()


def test_float32_update_is_that_of_float64():
    single, double = build(), build().double()
    batch = random_batch(3, torch.Generator().manual_seed(1))
    losses = single.update(batch)
    expected = double.update(AgentTransitions(*(part.double() for part in batch)))
    assert losses == pytest.approx(expected, rel=1e-4)
    change = single.critics.flat_TP - double.critics.flat_TP.float()
    assert change.abs().max() < 1e-4 * RATE * 100


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))]
)
@pytest.mark.parametrize("row", ["gram", "ma", "de"])
def test_agents_learn_the_actions_that_pay(row, seed):
    """Doing nothing is 0.5 away from them.

    The actions are unbounded: with some seeds agents drive a tanh into saturation, as DDPG may.
    """
    goals_T = torch.tensor([0.5, -0.4])
    fields = {"gamma": 0.0, "learning_rate": 1e-2, "action_penalty": 1e-3}
    agents = build(2, None, seed, **fields, **ROWS[row])
    generator = torch.Generator().manual_seed(seed)
    for _ in range(1200):
        batch = random_batch(2, generator)
        actions_BT = 2 * torch.rand(BATCH, 2, generator=generator) - 1
        rewards = -3 * (actions_BT - goals_T).square()
        if row != "ma":
            rewards = rewards.sum(1)
        agents.update(batch._replace(actions_BT=actions_BT, rewards=rewards))
    actions_T = torch.stack([agents.act(o) for o in batch.observations_BTO]).mean(0)
    torch.testing.assert_close(actions_T, goals_T, atol=0.3, rtol=0)


def test_first_actions_are_almost_nothing():
    actions_T = build(5).act(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
    assert actions_T.shape == (5,)
    assert actions_T.abs().max() < 0.05


def test_targets_start_as_copies_of_their_own():
    agents = build()
    assert torch.equal(agents.actors.flat_TP, agents.target_actors.flat_TP)
    agents.update(random_batch(3, torch.Generator().manual_seed(0)))
    assert not torch.equal(agents.actors.flat_TP, agents.target_actors.flat_TP)


def test_saved_and_loaded_they_go_on_bit_for_bit():
    original, generator = build(), torch.Generator().manual_seed(1)
    for _ in range(5):
        original.update(random_batch(3, generator))
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    snapshot = torch.load(file, weights_only=True)
    kept = copy.deepcopy(snapshot)
    restored = build(seed=9)
    restored.load_state_dict(snapshot)
    for _ in range(5):
        batch = random_batch(3, generator)
        assert original.update(batch) == restored.update(batch)
    for name, tensor in original.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(tensor, restored.state_dict()[name])
    moments = snapshot["_extra_state"]["critic_optimizer"]["state"][0]
    expected = kept["_extra_state"]["critic_optimizer"]["state"][0]
    assert torch.equal(moments["exp_avg"], expected["exp_avg"])  # training left the snapshot alone
    assert torch.equal(moments["step"], expected["step"])
