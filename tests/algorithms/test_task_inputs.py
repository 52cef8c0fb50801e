"""Data sets whose samples belong to one task each."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.evaluation import evaluate
from mtl_bench.architectures.base import Architecture, predicted_rows
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.base import group_rows
from mtl_bench.datasets.cifar100 import CIFAR100
from mtl_bench.datasets.images import ImageBatch, TaskImageBatch
from mtl_bench.datasets.procedural import objects
from mtl_bench.errors import ConfigError
from mtl_bench.inspect.probe import bad_targets
from mtl_bench.methods import LS, MGDA
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.tasks import Metric, Task
from mtl_bench.testing import check_architecture, check_dataset

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")
TASKS = tuple(
    Task(name, name, functional.mse_loss, (Metric("mae"),), MeanAbsoluteError) for name in NAMES
)


class Net(Architecture):
    has_representation = True

    def __init__(self, tasks=NAMES, norm=False):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4) if norm else nn.Tanh())
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in tasks})

    def representation(self, batch):
        return self.trunk(batch.images_BCHW.flatten(1))

    def predict(self, representation, batch):
        rows = predicted_rows(batch, list(self.heads))
        return {task: self.heads[task](representation[own])[:, 0] for task, own in rows.items()}

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


def batch(seed=0, **sizes):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(sum(sizes.values()), 3, 1, 1, generator=generator)
    return TaskImageBatch(
        images, {t: torch.randn(n, generator=generator) for t, n in sizes.items()}
    )


def seeded(build):
    torch.manual_seed(0)
    return build()


@pytest.mark.parametrize("sizes", [{"a": 4, "b": 1, "c": 2}, {"a": 3, "c": 2}])
def test_gradients_are_those_of_every_tasks_own_samples(sizes):
    data, network = batch(**sizes), seeded(Net)
    gradients = BatchGradients(network, TASKS, MGDA(3), CPU, task_inputs=True)([data])
    assert list(gradients.tasks) == [NAMES.index(task) for task in sizes]
    rows = []
    for task in sizes:
        images = ImageBatch(data.of(task).images_BCHW, {})
        loss = functional.mse_loss(network(images)[task], data.targets[task])
        grads = torch.autograd.grad(loss, network.shared_parameters())
        rows.append(torch.cat([g.flatten() for g in grads]))
    jacobian = torch.stack(rows)
    torch.testing.assert_close(gradients.jacobian(), jacobian)
    torch.testing.assert_close(gradients.gram(), (jacobian @ jacobian.T).double())


def test_a_network_of_one_task_sees_its_own_samples_alone():
    data, networks = batch(a=4, c=3), seeded(lambda: SingleTask(NAMES, lambda t: Net(t, norm=True)))
    predictions = networks(data)
    assert list(predictions) == ["a", "c"]
    for task, count in (("a", 1), ("b", 0), ("c", 1)):
        alone = nn.BatchNorm1d(4)
        trunk = networks.networks[task].trunk
        if count:
            alone(trunk[0](data.of(task).images_BCHW.flatten(1)))
        assert torch.equal(trunk[1].running_mean, alone.running_mean)
        assert trunk[1].num_batches_tracked == count


def test_metrics_count_every_tasks_own_samples():
    parts, network = [batch(1, a=4, b=1), batch(2, a=1, b=3, c=2)], seeded(Net)
    found = evaluate(network, parts, TASKS, CPU)
    for task in NAMES:
        own = [part.of(task) for part in parts if task in part.rows]
        errors = [(network(part)[task] - part.targets[task]).abs() for part in own]
        assert found[task]["mae"] == pytest.approx(torch.cat(errors).mean().item(), rel=1e-6)


def test_gradients_of_the_representation_are_refused():
    arguments = (Net(), TASKS)
    BatchGradients(*arguments, LS(3), CPU, level="representation", task_inputs=True)
    with pytest.raises(ConfigError, match=r"level=representation: each sample belongs to one task"):
        BatchGradients(*arguments, MGDA(3), CPU, level="representation", task_inputs=True)


def test_a_bad_target_is_known_by_its_own_sample():
    data = batch(a=2, c=2)
    data.targets["c"][1] = torch.nan
    assert bad_targets([data], [["p", "q", "r", "s"]]) == ["c of sample s"]


@dataclass(frozen=True)
class Overlapping(TaskImageBatch):
    @property
    def rows(self):
        return dict.fromkeys(self.targets, slice(0, 2))


def test_an_architecture_that_predicts_other_rows_is_named():
    check_architecture(Net(), batch(a=2, b=3, c=2), NAMES)
    with pytest.raises(AssertionError, match="predicts 2 rows of b, which has 3 samples"):
        check_architecture(Net(), Overlapping(**vars(batch(a=2, b=3, c=2))), NAMES)


def test_a_data_set_that_does_not_keep_its_groups_is_named(tmp_path, monkeypatch):
    objects.synth(tmp_path, 5, 5, report=lambda line: None)
    data = CIFAR100(str(tmp_path), seed=0, batch_size=40)
    with monkeypatch.context() as changed:
        changed.setattr(data, "task_inputs", False, raising=False)
        with pytest.raises(AssertionError, match="each task go with task_inputs = True"):
            check_dataset(data)
    with monkeypatch.context() as changed:
        changed.setattr(TaskImageBatch, "of", lambda batch, task: batch)
        with pytest.raises(AssertionError, match=r"of\('aquatic_mammals'\) is not the batch of"):
            check_dataset(data)
    check_dataset(data)


def test_rows_follow_the_order_of_the_targets():
    assert group_rows(batch(c=2, a=1).targets) == {"c": slice(0, 2), "a": slice(2, 3)}
