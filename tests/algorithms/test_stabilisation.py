"""Tasks that are left out of updates while their loss is too large, and begin anew."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from mtl_bench.algorithms.sac.objectives import CriticData
from mtl_bench.algorithms.sac.stabilisation import LossMask
from mtl_bench.algorithms.sac.temperature import Temperatures
from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.architectures.control.paco import PaCo
from mtl_bench.errors import ConfigError, ExplodedError
from mtl_bench.gradients import StackedGradients, copies_for_tasks
from mtl_bench.methods import LS, MGDA, CosReg
from mtl_bench.training.update import Update
from tests.algorithms.mirror import TASKS, mirror_sac
from tests.training.runs import differences

NAMES = ("a", "b", "c", "d")


def mask_of(losses, reset="simplex", bound=10.0):
    mask = LossMask(NAMES, bound, reset)
    mask.look(torch.tensor(losses))
    return mask


def test_losses_above_the_bound_and_nan_are_left_out():
    mask = mask_of([1.0, 11.0, float("nan"), 10.0])
    assert mask.present() == [0, 3]
    mask.look(torch.tensor([1.0, 2.0, float("inf"), 10.0]))
    assert mask.present() == [0, 1, 3]
    assert mask.end_epoch() == {"b": 1, "c": 2}
    assert mask.end_epoch() == {}
    mask.look(torch.zeros(4))
    assert mask.present() is None
    assert mask_of([1e30] * 4, bound=None).present() is None


@pytest.mark.parametrize("reset", ["simplex", "uniform", "copy"])
def test_shares_are_of_healthy_tasks_and_add_up_to_one(reset):
    mask, generator = mask_of([1.0, 11.0, 1.0, 1.0], reset), torch.Generator().manual_seed(0)
    drawn = torch.stack([mask.shares(generator) for _ in range(4000)])
    assert not drawn[:, :, 1].any()
    torch.testing.assert_close(drawn.sum(dim=2), torch.ones(4000, 4))
    torch.testing.assert_close(
        drawn.mean(dim=(0, 1))[[0, 2, 3]], torch.full((3,), 1 / 3), rtol=0.05, atol=0
    )
    # on the simplex of three a share's variance is 1/18; of a copy 2/9
    variance = {"simplex": 1 / 18, "copy": 2 / 9}.get(reset)
    if variance is not None:
        torch.testing.assert_close(drawn[:, :, 0].var().item(), variance, rtol=0.1, atol=0)


def test_nothing_is_reset_where_there_is_nothing_to_reset_or_nothing_healthy():
    generator = torch.Generator()
    assert mask_of([1.0] * 4).shares(generator) is None
    assert mask_of([11.0] * 4).shares(generator) is None
    assert mask_of([1.0, 11.0, 1.0, 1.0], "never").shares(generator) is None


@pytest.mark.parametrize("apart", [True, False])
def test_gradients_of_some_tasks_are_those_of_all_without_the_others(apart):
    torch.manual_seed(0)
    network = MLP(NAMES, Shape(3, 2, 2), heads=True, hidden=(5,)).double()
    inputs = torch.randn(4, 6, 3, dtype=torch.float64)
    shared, own = network.shared_parameters(), network.stacked_parameters()

    def gradients(tasks):
        copies = copies_for_tasks(shared, 4) if apart else {}
        outputs = torch.func.functional_call(network, copies, (inputs,))
        losses_T = outputs.square().mean(dim=(0, 2, 3))
        return StackedGradients(
            losses_T, [*shared.values()], [*own.values()], [*copies.values()], tasks
        )

    some = gradients([0, 2])
    assert some.tasks == (0, 2)
    if apart:
        torch.testing.assert_close(some.jacobian(), gradients(None).jacobian()[[0, 2]])
    weights = torch.tensor([2.0, -1.0], dtype=torch.float64)
    some.apply(weights, weights)
    found = [p.grad.clone() for p in network.parameters()]
    padded = torch.tensor([2.0, 0.0, -1.0, 0.0], dtype=torch.float64)
    every = gradients(None)
    if apart:
        every.jacobian()
    every.apply(padded, padded)
    for gradient, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("owner", ["task", "shared"])
def test_a_temperature_does_not_learn_from_a_task_that_is_left_out(owner):
    def moved(log_probs, present):
        optimizer = partial(torch.optim.SGD, lr=1.0)
        device = torch.device("cpu")
        args = (owner, 1.0, None, 0.0, "log_alpha", optimizer, None, device)
        temperatures = Temperatures(3, *args)
        temperatures.update(log_probs, present)
        return temperatures.log_alpha.detach()

    healthy = torch.tensor([[1.0, 2.0], [0.0, 0.0], [5.0, 3.0]])
    broken = healthy.clone()
    broken[1] = 1e9
    found = moved(broken, [0, 2])
    expected = [1.5, 0.0, 4.0] if owner == "task" else [2.75]
    torch.testing.assert_close(found, torch.tensor(expected))


def methods_of(kind):
    return {"critic": kind(len(TASKS)), "actor": kind(len(TASKS))}


def paco_sac(seed, *, kind=LS, **fields):
    return mirror_sac(methods_of(kind), seed, PaCo, of_network={"sets": 2}, **fields)


@pytest.mark.parametrize("kind", [LS, MGDA])
def test_a_masked_task_moves_nothing_of_its_own(kind):
    """With a bound that only one task meets; MGDA would stand still with a gradient of zero."""
    sac = mirror_sac(methods_of(kind), 0, of_network={"heads": True}, mask_loss_above=1e6)
    critic = sac.components[0]
    data = next(sac.epoch(1, 0))
    before = {name: p.clone() for name, p in critic.module.named_parameters()}
    with torch.no_grad():
        found, _ = sac.objectives.critic_losses(sac.critics, critic_data(sac, data))
    sac.mask.bound = float(found.mean())
    masked = [t for t, loss in enumerate(found) if loss > sac.mask.bound]
    assert len(masked) == 1
    sac.step(data, Update(TASKS))
    for name, parameter in critic.module.named_parameters():
        if critic.module.task_specific(name):
            assert torch.equal(parameter[:, masked], before[name][:, masked])
            assert not torch.equal(parameter, before[name])
        else:
            assert not torch.equal(parameter, before[name])


def critic_data(sac, data):
    inputs = torch.cat((data.observations_TBO, data.actions_TBA), dim=2)
    return CriticData(inputs, sac.objectives.targets(data, torch.zeros_like(data.actions_TBA)))


@pytest.mark.parametrize("temperature", ["task", "shared"])
def test_where_all_tasks_are_left_out_nothing_moves_but_the_slow_critics(temperature):
    """After an update that leaves nobody out, so that the optimisers have momentum."""
    sac = paco_sac(0, mask_loss_above=1e9, reset_masked="simplex", temperature=temperature)
    updates = sac.epoch(1, 0)
    sac.step(next(updates), Update(TASKS))
    before, slow = deepcopy(sac.state_dict()), deepcopy(sac.slow_critics)
    sac.mask.bound = 1e-30
    sac.step(next(updates), Update(TASKS))
    after = sac.state_dict()
    for part in ("components", "temperatures"):
        assert differences(before[part], after[part]) == []
    expected = [torch.lerp(p, q, 0.005) for p, q in both(slow, sac.critics)]
    torch.testing.assert_close(list(sac.slow_critics.parameters()), expected)
    assert sac.mask.end_epoch() == dict.fromkeys(TASKS, 1)
    sac.mask.bound = 1e9
    sac.step(next(updates), Update(TASKS))
    assert all(not torch.equal(p, q) for p, q in both(slow, sac.slow_critics))


def parameters_but(sac, row):
    """Return all parameters and temperatures, without a task's rows."""
    state = {"temperatures": sac.temperatures.log_alpha.data}
    for component in sac.components:
        for name, p in component.module.named_parameters():
            own = component.module.task_specific(name)
            rows = [t for t in range(len(TASKS)) if t != row]
            state[component.name + name] = (p[:, rows] if own else p).detach()
    return state


@pytest.mark.parametrize("kind", [LS, MGDA, CosReg])
def test_a_masked_task_whose_losses_are_infinite_moves_what_one_with_large_losses_moves(kind):
    found = []
    for factor in (1e5, 1e30):
        disturbance = {"task": "mirrored", "update": 1, "factor": factor}
        sac = paco_sac(0, kind=kind, mask_loss_above=1e3, disturbance=disturbance)
        data = next(sac.epoch(1, 0))
        sac.step(data, Update(TASKS))
        assert sac.mask.present() == [0]
        with torch.no_grad():
            losses_T, _ = sac.objectives.critic_losses(sac.critics, critic_data(sac, data))
        assert losses_T[1].isfinite() == (factor < 1e30)
        found.append(parameters_but(sac, 1))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("heads", [True, False])
def test_a_masked_task_whose_rewards_are_not_finite_moves_nothing_of_its_own(heads):
    sac = mirror_sac(methods_of(LS), 0, of_network={"heads": heads}, mask_loss_above=1e6)
    data = next(sac.epoch(1, 0))
    data.rewards_TB[1] = torch.nan
    before = deepcopy(sac.critics)
    sac.step(data, Update(TASKS))
    assert sac.mask.end_epoch() == {"mirrored": 1}
    for (name, p), q in zip(sac.critics.named_parameters(), before.parameters(), strict=True):
        assert p.isfinite().all()
        assert not torch.equal(p, q)
        if sac.critics.task_specific(name):
            assert torch.equal(p[:, 1], q[:, 1])


class Again(LS):
    """Looks at every update again, and notes what it sees."""

    looks_again = True

    def after_update(self, gradients):
        self.seen = gradients.tasks, gradients.losses_T
        return {}


@pytest.mark.parametrize("bound", [1e3, None])
def test_a_second_look_decides_nothing_even_where_losses_are_above_every_bound(bound):
    """With steps so long that both losses explode by the first update."""
    found = {}
    for kind in (LS, Again):
        sac = paco_sac(
            0, kind=kind, mask_loss_above=bound, largest_loss=1e3, reset_masked="simplex"
        )
        for component in sac.components:
            component.optimizers[0].param_groups[0]["lr"] = 30.0
        sac.step(next(sac.epoch(1, 0)), Update(TASKS))
        state = sac.state_dict()
        found[kind] = [state[p] for p in ("temperatures", "slow_critics", "mask", "generator")]
        assert sac.mask.present() is None
    tasks, losses = sac.components[0].method.seen
    assert tasks == (0, 1)
    assert losses.min() > 1e3
    assert differences(found[LS], found[Again]) == []


def test_a_second_look_is_at_the_tasks_that_took_part():
    sac = paco_sac(0, kind=Again, mask_loss_above=1e9)
    sac.mask.look = lambda losses_T: setattr(sac.mask, "healthy_T", torch.tensor([False, True]))
    sac.step(next(sac.epoch(1, 0)), Update(TASKS))
    assert [c.method.seen[0] for c in sac.components] == [(1,), (1,)]


def both(first, second):
    return zip(first.parameters(), second.parameters(), strict=True)


def test_the_loss_of_a_task_that_takes_part_ends_a_run_and_that_of_another_does_not():
    sac = paco_sac(0, mask_loss_above=1e9, largest_loss=1e8)
    sac._look_at_losses(torch.tensor([1.0, 2e9]))
    with pytest.raises(ExplodedError, match="2e\\+08"):
        sac._look_at_losses(torch.tensor([2e8, 2e9]))


def test_resets_are_for_compositions():
    with pytest.raises(ConfigError, match="architecture=paco"):
        mirror_sac(methods_of(LS), 0, mask_loss_above=1.0, reset_masked="simplex")


def play(sac, updates):
    """Train for so many updates and return the epochs' mean training successes by task."""
    update, epoch, found, made = Update(TASKS), 0, [], 0
    while made < updates:
        epoch += 1
        for data in sac.epoch(epoch, 0):
            sac.step(data, update)
            made += 1
        found.append({t: sum(s) / len(s) for t, s in sac.training_successes.items()})
        sac.training_successes = {task: [] for task in TASKS}
    return found


def test_losses_are_weighted_by_the_temperatures():
    sac = mirror_sac(methods_of(LS), 0, loss_weights="temperature")
    plain = mirror_sac(methods_of(LS), 0)
    sac.temperatures.log_alpha.data = plain.temperatures.log_alpha.data = torch.tensor([0.3, -1.0])
    data = critic_data(sac, next(sac.epoch(1, 0)))
    weights = 2 * torch.softmax(torch.tensor([-0.3, 1.0]), dim=0)
    expected = weights * plain.objectives.critic_losses(plain.critics, data)[0]
    torch.testing.assert_close(sac.objectives.critic_losses(sac.critics, data)[0], expected)


def test_a_shared_temperature_weights_no_task():
    sac = mirror_sac(methods_of(LS), 0, loss_weights="temperature", temperature="shared")
    plain = mirror_sac(methods_of(LS), 0, temperature="shared")
    data = critic_data(sac, next(sac.epoch(1, 0)))
    found, _ = sac.objectives.critic_losses(sac.critics, data)
    assert torch.equal(found, plain.objectives.critic_losses(plain.critics, data)[0])


@pytest.mark.nightly
def test_an_explosion_ends_a_run_unless_the_task_is_left_out_and_its_task_unless_it_is_reset():
    """Task "mirrored" gets compositions thirty times as long after 500 updates."""
    disturbance = {"task": "mirrored", "update": 501, "factor": 30.0}
    with pytest.raises(ExplodedError):
        play(paco_sac(0, disturbance=disturbance), 1000)
    masked = paco_sac(0, disturbance=disturbance, mask_loss_above=10.0)
    before, after = play(masked, 1000)
    assert min(before.values()) > 0.7
    assert after["same"] > 0.9
    assert after["mirrored"] < 0.5
    assert masked.mask.end_epoch() == {"mirrored": 500}
    reset = paco_sac(0, disturbance=disturbance, mask_loss_above=10.0, reset_masked="simplex")
    play(reset, 1000)
    assert 0 < reset.mask.end_epoch()["mirrored"] < 100
    (after,) = play(reset, 500)
    assert min(after.values()) > 0.9
