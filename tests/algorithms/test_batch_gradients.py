"""From batches to task gradients: accumulation, precision, levels, backends, any network."""

import copy
from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_bench.algorithms.supervised import batch_gradients
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import LS, MGDA, STL, GradDrop, GradNorm, NashMTL, TaskForce
from mtl_bench.tasks import Task
from mtl_bench.training.curvature import doubled
from mtl_bench.training.observer import Observer
from mtl_bench.training.update import Update
from tests.molecules import random_store
from tests.nightly import gate
from tests.training.runs import (
    METHODS,
    STEPS,
    config_of,
    differences,
    smallest,
    stop_at,
    train,
)

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")
TASKS = tuple(Task(name, name, functional.mse_loss, (), lambda: None) for name in NAMES)


class Points:
    """A batch of vectors."""

    def __init__(self, x, targets):
        self.x, self.targets = x, targets

    def to(self, device):
        return self


class Norms(Architecture):
    """Batch norm in the trunk, an own branch with one that begins in the middle; no cut."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh())
        self.heads = nn.ModuleDict(
            {t: nn.Sequential(nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 1)) for t in NAMES}
        )

    def forward(self, batch):
        low = self.first(batch.x)
        both = torch.cat([low, self.second(low)], dim=1)
        return {t: head(both)[:, 0] for t, head in self.heads.items()}

    def shared_parameters(self):
        return [*self.first.parameters(), *self.second.parameters()]

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


def norms():
    torch.manual_seed(0)
    return Norms()


def mpnn():
    torch.manual_seed(0)
    return MPNN(NAMES, dim=8, edge_hidden=6)


def points(seed, size=8):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 4, generator=generator)
    return Points(x, {t: x[:, i] for i, t in enumerate(NAMES)})


def molecules(seed, size=5):
    return random_store([3 + seed + i for i in range(size)], NAMES).__getitems__(range(size))


class Pooled(MPNN):
    """Heads that share a computation without parameters above the representation."""

    def predict(self, representation, batch):
        return super().predict(representation.exp(), batch)


def pooled():
    torch.manual_seed(0)
    return Pooled(NAMES, dim=8, edge_hidden=6)


LAST_LAYER = pytest.param(partial(GradNorm, norms_of="last_layer"), id="GradNorm")
NETWORKS = {"pooled": (pooled, molecules), "mpnn": (mpnn, molecules), "norms": (norms, points)}


def written(network):
    return {n: p.grad.clone() for n, p in network.named_parameters()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", ["loop", "batched", "streamed"])
@pytest.mark.parametrize("method", [LS, MGDA, NashMTL, GradDrop, LAST_LAYER])
def test_backends_write_the_same_gradients_on_any_network(network, backend, method):
    build, batch_of = NETWORKS[network]
    results = []
    for name in ("loop", backend):
        net, chosen = build(), method(3)
        gradients = BatchGradients(net, TASKS, chosen, CPU, backend=name)([batch_of(0)])
        info = chosen.step(gradients)
        results.append((info.weights_T, written(net)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", ["loop", "batched", "streamed"])
@pytest.mark.parametrize("method", [LS, MGDA, GradDrop, LAST_LAYER])
def test_accumulation_averages_losses_and_gradients(network, backend, method):
    build, batch_of = NETWORKS[network]
    batches = [batch_of(seed) for seed in (0, 1, 2)]
    net, chosen = build(), method(3)
    gradients = BatchGradients(net, TASKS, chosen, CPU, backend=backend)(batches)
    chosen.step(gradients)

    twin, again = build(), method(3)
    each = [[t.loss(twin(b)[t.name], b.targets[t.name]) for t in TASKS] for b in batches]
    means = [torch.stack(losses).mean() for losses in zip(*each, strict=True)]
    own = [twin.task_parameters(t) for t in NAMES]
    again.step(TaskGradients(means, twin.shared_parameters(), own))
    torch.testing.assert_close(gradients.losses_T, torch.stack(means).detach())
    torch.testing.assert_close(written(net), written(twin), rtol=1e-3, atol=1e-6)
    counts = [b.item() for n, b in net.named_buffers() if n.endswith("num_batches_tracked")]
    assert counts == [3] * len(counts)


class Largest(TorchDispatchMode):
    """Notes the number of scalars of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.scalars = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        if isinstance(made, torch.Tensor):
            self.scalars = max(self.scalars, made.untyped_storage().nbytes() // 4)
        return made


@pytest.mark.parametrize("count", [1, 3])
def test_a_streamed_jacobian_never_takes_more_than_the_memory_for_it(count):
    bytes_ = 3 * 4 * 40
    whole = BatchGradients(norms(), TASKS, MGDA(3), CPU, backend="loop")
    batches = [points(seed) for seed in range(count)]
    expected_TT = whole(batches).gram()
    network = norms()
    limit = bytes_ / (1 << 30)
    streamed = BatchGradients(network, TASKS, MGDA(3), CPU, max_memory=limit)
    with Largest() as largest:
        gradients = streamed(batches)
        gram_TT = gradients.gram()
        gradients.apply(torch.ones(3))
    longest = max(p.numel() for p in gradients.shared)
    assert 4 * largest.scalars <= bytes_ + 3 * 4 * longest < 3 * 4 * gradients.num_shared
    torch.testing.assert_close(gram_TT, expected_TT, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("method", [LS, MGDA])
def test_accumulation_moves_running_statistics_once_for_each_batch(method):
    batches = [points(seed) for seed in (0, 1)]
    net, plain = norms(), norms()
    chosen = method(3)
    chosen.step(BatchGradients(net, TASKS, chosen, CPU)(batches))
    for batch in batches:
        plain(batch)
    for (name, a), b in zip(net.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert [m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm1d)] == [0.1, 0.1]


class Drops(Norms):
    """Batch norm and dropout, whose masks come from torch's global generator."""

    def forward(self, batch):
        low = functional.dropout(self.first(batch.x), 0.5)
        both = torch.cat([low, self.second(low)], dim=1)
        return {t: head(both)[:, 0] for t, head in self.heads.items()}


def test_a_repeated_forward_pass_draws_the_same_masks():
    net, batches = Drops(), [points(0), points(1)]
    torch.manual_seed(1)
    BatchGradients(net, TASKS, LS(3), CPU)(batches).apply(torch.ones(3))
    repeated = written(net)

    net.zero_grad()
    torch.manual_seed(1)
    both = [(net(batch), batch.targets) for batch in batches]
    (sum(task.loss(p[task.name], t[task.name]) for p, t in both for task in TASKS) / 2).backward()
    torch.testing.assert_close(repeated, written(net))


def test_the_generator_of_a_device_is_put_back_for_a_repeated_forward_pass(monkeypatch):
    """Which generators are kept depends on the devices of the tensors among the arguments."""
    devices = []

    def stash(_, *arguments, **options):
        devices.append({a.device for a in arguments if isinstance(a, torch.Tensor)})
        return [torch.ones(()) for _ in TASKS]

    monkeypatch.setattr(batch_gradients, "checkpoint", stash)
    device = torch.device("meta")
    BatchGradients(norms().to(device), TASKS, LS(3), device)([points(0), points(1)])
    assert devices == [{device}] * 2


@pytest.mark.parametrize("backend", ["loop", "streamed"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_same_batches_again_after_an_update(backend, count):
    """The second look is the first look of a twin that has the new parameters from the start."""
    batches = [points(seed) for seed in range(count)]
    method = TaskForce(3, batch_size=4, transition="same_batch")

    def look(net):
        torch.manual_seed(1)
        step = BatchGradients(net, TASKS, method, CPU, backend=backend)
        return step, step(batches)

    torch.manual_seed(0)
    net = Drops()
    twin = copy.deepcopy(net)
    step, first = look(net)
    first_gram_TT = first.gram().clone()
    state, buffers = torch.get_rng_state(), copy.deepcopy(list(net.buffers()))
    for one in (net, twin):
        for parameter in one.parameters():
            parameter.data.mul_(0.9)
    with step.reevaluate(batches) as updated:
        losses_T, gram_TT = updated.losses_T, updated.gram()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), buffers, strict=True))
    assert torch.equal(first.gram(), first_gram_TT)

    _, expected = look(twin)
    assert torch.equal(losses_T, expected.losses_T)
    assert torch.equal(gram_TT, expected.gram())
    assert not torch.equal(gram_TT, first_gram_TT)


def test_the_generators_come_back_from_an_error_in_a_second_look():
    step = BatchGradients(norms(), TASKS, TaskForce(3, transition="same_batch"), CPU)
    step([points(0)])
    torch.rand(1)
    state = torch.get_rng_state()
    with pytest.raises(AttributeError), step.reevaluate([None]):
        pass
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", [LS, MGDA])
def test_bf16_runs_the_network_alone_in_low_precision(method):
    seen = []
    results = {}
    for precision in ("float32", "bf16"):
        net, chosen = mpnn(), method(3)
        net.readout.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
        gradients = BatchGradients(net, TASKS, chosen, CPU, precision=precision)([molecules(0)])
        results[precision] = gradients.gram()
        chosen.step(gradients)
        assert gradients.losses_T.dtype == torch.float32
        assert gradients.jacobian().dtype == torch.float32
        assert results[precision].dtype == torch.float64
        assert {p.grad.dtype for p in net.parameters()} == {torch.float32}
    assert seen == [torch.float32, torch.bfloat16]
    assert not torch.equal(results["float32"], results["bf16"])
    torch.testing.assert_close(results["float32"], results["bf16"], rtol=0.2, atol=0.02)


class Alike(Architecture):
    """Three heads that are nearly the same, above a trunk."""

    has_representation = True

    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(4, 32)
        self.heads = nn.ModuleDict({t: nn.Linear(32, 1) for t in NAMES})
        with torch.no_grad():
            for head in self.heads.values():
                head.weight.copy_(self.heads["a"].weight + 0.01 * torch.randn(1, 32))

    def representation(self, batch):
        return self.trunk(batch.x)

    def predict(self, representation, batch):
        return {t: head(representation)[:, 0] for t, head in self.heads.items()}

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


def test_gradients_of_a_bf16_representation_are_combined_in_float32():
    torch.manual_seed(0)
    net, method, batch = Alike(), MGDA(3), points(0)
    options = {"precision": "bf16", "level": "representation"}
    gradients = BatchGradients(net, TASKS, method, CPU, **options)([batch])
    (leaf,) = gradients.shared
    assert leaf.dtype == torch.bfloat16
    rows = [torch.autograd.grad(loss, leaf, retain_graph=True)[0] for loss in gradients.losses]
    rows_TP = torch.stack([row.flatten() for row in rows]).float()
    assert torch.equal(gradients.gram(), (rows_TP @ rows_TP.T).double())
    method.step(gradients)
    assert {p.grad.dtype for p in net.parameters()} == {torch.float32}


def test_gradients_of_the_representation_take_one_pass_through_the_trunk():
    passes = []
    for level in ("parameters", "representation"):
        net, chosen = mpnn(), MGDA(3)
        net.embedding.weight.register_hook(lambda _, level=level: passes.append(level))
        options = {"level": level, "backend": "loop"}
        gradients = BatchGradients(net, TASKS, chosen, CPU, **options)([molecules(0)])
        chosen.step(gradients)
        assert all(p.grad is not None for p in net.parameters())
    assert passes == ["parameters"] * 3 + ["representation"]
    assert gradients.num_shared == 5 * 8  # molecules x features


class Between(Alike):
    """A layer above the representation that no method combines."""

    def __init__(self):
        super().__init__()
        self.between = nn.Linear(32, 32)

    def predict(self, representation, batch):
        return super().predict(self.between(representation).tanh(), batch)

    def summed_parameters(self):
        return list(self.between.parameters())


@pytest.mark.parametrize("batches", [1, 2])
def test_summed_parameters_above_the_representation_get_the_sum_of_their_gradients(batches):
    sums = []
    for level in ("parameters", "representation"):
        torch.manual_seed(0)
        net, method = Between(), MGDA(3, head_weighting="unweighted")
        gradients = BatchGradients(net, TASKS, method, CPU, level=level)
        method.step(gradients([points(number) for number in range(batches)]))
        sums.append([p.grad for p in net.summed_parameters()])
    torch.testing.assert_close(*sums)


def test_a_network_without_representation_is_refused_where_it_matters():
    with pytest.raises(ConfigError, match=r"gradients.level=representation: Norms has no"):
        BatchGradients(norms(), TASKS, MGDA(3), CPU, level="representation")
    BatchGradients(norms(), TASKS, STL(3), CPU, level="representation")


@pytest.mark.parametrize("method", ["mgda", "graddrop"])
def test_representations_of_several_batches_are_one_of_a_larger_batch(method, small_data, tmp_path):
    """Molecules meet nowhere in the network, so that it does not matter how they are divided."""

    def updated(*words):
        level = ("gradients.level=representation", f"method={method}", *words)
        config = smallest("qm9", small_data, tmp_path, *level)
        algorithm = build_algorithm(config, build_data(config), CPU)
        algorithm.network.double()
        (data,) = islice(algorithm.epoch(1, 0), 1)
        made = []
        update = Update([task.name for task in algorithm.tasks])
        algorithm.step(
            [doubled(batch) for batch in data],
            lambda component, batches: made.append(update(component, batches)) or made[-1],
        )
        return made[0], {n: p.grad for n, p in algorithm.network.named_parameters()}

    halves, halved = updated("dataset.batch_size=20", "trainer.accumulate=2")
    whole, wanted = updated("dataset.batch_size=40")
    torch.testing.assert_close(halves.gram_SS, whole.gram_SS)
    torch.testing.assert_close(halves.weights_T, whole.weights_T)
    if method == "mgda":  # GradDrop draws for every column
        torch.testing.assert_close(halved, wanted)


@pytest.mark.parametrize("method", gate(1, reversed(METHODS)))
def test_accumulated_runs_stop_and_go_on_bit_for_bit(method, tiny_data, tmp_path):
    options = (*METHODS[method], "trainer.accumulate=3")
    straight = train(config_of(tiny_data, tmp_path / "straight", *options))
    assert len(straight.steps["step"]) == 3 * -(-STEPS // 3)
    config = config_of(tiny_data, tmp_path / "stopped", *options)
    train(config, stop_at(3))
    assert differences(straight._asdict(), train(config)._asdict()) == []


@pytest.mark.parametrize("options", ["trainer.precision=bf16", "gradients.level=representation"])
def test_a_run_with_an_option_is_another_run(options, tiny_data, tmp_path):
    plain = train(config_of(tiny_data, tmp_path / "plain", "method=mgda"))
    other = train(config_of(tiny_data, tmp_path / "other", "method=mgda", options))
    assert other.metrics[-1]["test"] != plain.metrics[-1]["test"]
    assert len({path.name for path in tmp_path.rglob("seed0-*")}) == 2


def test_batches_of_an_update_are_loaded_together(tiny_data, tmp_path):
    seen = []
    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.accumulate=3")

    class Counter(Observer):
        def on_train_start(self, trainer):
            seen.append(trainer.algorithm.steps_per_epoch)

        def on_step_end(self, trainer, results, error):
            seen.append(trainer.progress.batch + 1)

    train(config, Counter())
    assert seen == [2, 1, 2, 1, 2, 1, 2]
