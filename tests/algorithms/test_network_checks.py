"""Networks that are not trained as they say: cut off, listed wrongly, wrapped, coarse or lazy."""

import pytest
import torch
from torch import nn
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.network_checks import GradientFlow
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.errors import ConfigError
from mtl_bench.methods import LS, MGDA, STL
from mtl_bench.records.writer import RunRecord
from mtl_bench.training.run import run
from tests.algorithms.test_batch_gradients import CPU, NAMES, TASKS, Norms, norms, points
from tests.training.runs import Watcher, config_of, smallest, trainer_of

METHODS = {"ls": LS, "mgda": MGDA}


class Detached(MPNN):
    def representation(self, batch):
        return super().representation(batch).detach()


class WithoutGraph(MPNN):
    def representation(self, batch):
        with torch.no_grad():
            return super().representation(batch)


class Reentrant(MPNN):
    def representation(self, batch):
        return checkpoint(super().representation, batch, use_reentrant=True)


class ListsOthers(MPNN):
    def __init__(self, tasks, **sizes):
        super().__init__(tasks, **sizes)
        self.others = nn.ParameterList(nn.Parameter(p.detach().clone()) for p in self.trunk())

    def trunk(self):
        return super().shared_parameters()

    def shared_parameters(self):
        return list(self.others)


def with_architecture(config, kind):
    config["architecture"]["_target_"] = f"{__name__}.{kind.__name__}"
    return config


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("words", [(), ("trainer.accumulate=2",)], ids=["one batch", "two"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [Detached, WithoutGraph, Reentrant, ListsOthers])
def test_a_trunk_that_no_loss_reaches_stops_before_the_first_update(
    kind, method, words, tiny_data, tmp_path
):
    config = with_architecture(config_of(tiny_data, tmp_path, f"method={method}", *words), kind)
    with RunRecord(tmp_path / "record") as record:
        trainer = trainer_of(config, record, Watcher())
        before = [p.detach().clone() for p in trainer.algorithm.network.parameters()]
        with pytest.raises(ConfigError, match="no loss reaches a shared parameter that is train"):
            trainer.run()
        after = trainer.algorithm.network.parameters()
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def steps(network, method, *updates):
    """Make updates of groups of batches and return what is said of the network."""
    said = []
    gradients = BatchGradients(
        network, TASKS, method, CPU, flow=GradientFlow(network, NAMES, said.append)
    )
    for batches in updates:
        method.step_with(gradients(batches))
    return said


class CutHead(Norms):
    """The head of b sees the trunk without its graph."""

    def forward(self, batch):
        low = self.first(batch.x)
        both = torch.cat([low, self.second(low)], dim=1)
        return {
            t: head(both.detach() if t == "b" else both)[:, 0] for t, head in self.heads.items()
        }


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("method", METHODS.values())
def test_a_task_that_is_cut_off_is_named_once(method, size):
    updates = [[points(4 * n + k) for k in range(size)] for n in range(3)]
    (said,) = steps(CutHead(), method(3), *updates)
    assert "no shared parameter that is trained is reached by the losses of b: " in said


def test_a_task_is_looked_at_when_it_first_takes_part():
    late = points(0)
    del late.targets["b"]
    assert steps(CutHead(), MGDA(3), [late]) == []
    (said,) = steps(CutHead(), MGDA(3), [late], [points(1)], [points(2)])
    assert "losses of b:" in said


def test_a_loss_without_a_graph_is_named_where_nothing_is_shared():
    class Alone(Norms):
        def forward(self, batch):
            return {t: p.detach() if t == "c" else p for t, p in super().forward(batch).items()}

        def shared_parameters(self):
            return []

    said = steps(Alone(), STL(3), [points(0)])
    assert "no parameter that is trained is reached by the losses of c: " in said[0]


def test_the_part_of_a_trunk_that_is_checkpointed_reentrantly_is_named():
    class Partly(Norms):
        def forward(self, batch):
            low = checkpoint(self.first, batch.x, use_reentrant=True)
            both = torch.cat([low, self.second(low)], dim=1)
            return {t: head(both)[:, 0] for t, head in self.heads.items()}

    with pytest.warns(UserWarning, match="None of the inputs have requires_grad"):
        (said,) = steps(Partly(), LS(3), [points(0)])
    assert said.startswith("no loss reaches the shared first.0.weight and 3 more: ")


def test_checkpoints_that_are_not_reentrant_cut_nothing():
    class Checkpointed(Norms):
        def forward(self, batch):
            return checkpoint(super().forward, batch, use_reentrant=False)

    for method in METHODS.values():
        assert steps(Checkpointed(), method(3), [points(0)], [points(1), points(2)]) == []


class Forgetful(Norms):
    """A list without the second half of the trunk, and with a head's weight in another's."""

    def shared_parameters(self):
        return list(self.first.parameters())

    def task_parameters(self, task):
        return super().task_parameters({"a": "b", "b": "a", "c": "c"}[task])


def test_parameters_that_are_reached_and_not_trained_are_named():
    (said,) = steps(Forgetful(), LS(3), [points(0)])
    assert said.startswith("losses reach second.0.weight and 11 more without training it: Forgetf")


def test_a_frozen_trunk_is_nobodys_mistake():
    network = norms()
    for parameter in network.shared_parameters():
        parameter.requires_grad_(False)
    assert steps(network, MGDA(3), [points(0)]) == []


@pytest.mark.parametrize("method", ["ls", "stl"])
@pytest.mark.parametrize("dataset", ["qm9", "nyuv2", "cityscapes"])
def test_nothing_is_said_of_our_networks(dataset, method, small_data, tmp_path):
    config = smallest(dataset, small_data, tmp_path, f"method={method}")
    with RunRecord(tmp_path / "record") as record:
        watcher = Watcher()
        trainer = trainer_of(config, record, watcher)
        trainer.train_step([next(trainer.algorithm.data.train_batches(1))])
        assert trainer.progress.step == 1
        assert watcher.messages == []


def of(network):
    return BatchGradients(network, TASKS, MGDA(3), CPU)


def test_a_parameter_that_is_listed_twice_is_refused():
    class Both(Norms):
        def task_parameters(self, task):
            return [*super().task_parameters(task), *self.second.parameters()]

    with pytest.raises(ConfigError, match=r"parameter second.0.weight of Both is listed twice"):
        of(Both())


def test_a_network_within_distributed_data_parallel_is_refused():
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        network = norms()
        network.second = DistributedDataParallel(network.second)
        with pytest.raises(ConfigError, match=r"^second is wrapped in DistributedDataParallel"):
            of(network)
        with pytest.raises(ConfigError, match=r"^the network is wrapped in DistributedDataParal"):
            of(DistributedDataParallel(norms()))
    finally:
        destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_coarse_parameters_are_refused_unless_they_are_frozen(dtype):
    network = norms()
    network.second.to(dtype)
    with pytest.raises(
        ConfigError, match=r"^second.0.weight of Norms is torch.b?float16.*bf16 runs"
    ):
        of(network)
    for parameter in network.second.parameters():
        parameter.requires_grad_(False)
    of(network)


def test_complex_parameters_are_refused():
    network = norms()
    network.second[0].weight = nn.Parameter(torch.ones(6, 6, dtype=torch.complex64))
    with pytest.raises(ConfigError, match=r"second.0.weight of Norms is complex: "):
        of(network)


@pytest.mark.parametrize("lazy", [nn.LazyLinear(6), nn.LazyBatchNorm1d(affine=False)])
def test_lazy_parameters_are_refused(lazy):
    network = norms()
    network.second[1] = lazy
    with pytest.raises(ConfigError, match=r"^second\.1\.\w+ of Norms is lazy and has no shape yet"):
        of(network)


class InPlaceHead(MPNN):
    def predict(self, representation, batch):
        return super().predict(functional.relu_(representation), batch)


class InPlaceLater(MPNN):
    def predict(self, representation, batch):
        return super().predict(representation.exp().mul_(2), batch)


class ReentrantMiddle(MPNN):
    def representation(self, batch):
        return checkpoint(torch.tanh, super().representation(batch), use_reentrant=True)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (InPlaceHead, r"the network changes in place .*a leaf Variable.*ReLU\(inplace=False\)"),
        (InPlaceLater, r"the network changes in place .*modified by an inplace operation\)"),
        (ReentrantMiddle, r"the network checkpoints with use_reentrant=True.*use_reentrant=False"),
    ],
)
def test_what_torch_says_of_a_network_becomes_one_line(kind, line, tiny_data, tmp_path):
    config = with_architecture(config_of(tiny_data, tmp_path, "method=mgda"), kind)
    with pytest.raises(ConfigError, match=line) as info:
        run(config)
    assert "\n" not in str(info.value)
