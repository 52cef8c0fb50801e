"""Batches that lack labels of some tasks, or have none that is valid."""

import copy
import dataclasses
import math
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from mtl_bench import build_method
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures.base import Architecture
from mtl_bench.config.build import build_data
from mtl_bench.config.groups import describe_group
from mtl_bench.datasets.cityscapes.tasks import IGNORE as VOID
from mtl_bench.datasets.cityscapes.tasks import cityscapes_tasks
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.datasets.nyuv2.tasks import IGNORE, nyuv2_tasks
from mtl_bench.errors import NonFiniteError, TrainingError
from mtl_bench.methods import LS, MGDA
from mtl_bench.records.writer import RunRecord
from tests.algorithms.test_batch_gradients import CPU, NAMES, TASKS, molecules, mpnn, norms, points
from tests.training.runs import (
    Altered,
    Watcher,
    config_of,
    differences,
    smallest,
    stop_at,
    train,
    trainer_of,
)

METHODS = sorted(describe_group("method"))


def without(batch, *tasks):
    """Return the batch as if these tasks had never been labelled."""
    for task in tasks:
        del batch.targets[task]
    return batch


@cache
def built(name):
    return build_method(name, 3, dataset="qm9", profile="smoke")


def method_of(name):
    return copy.deepcopy(built(name))


def step(method, network, *batches):
    gradients = BatchGradients(network, TASKS, method, CPU)(batches)
    return gradients, method.step_with(gradients)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("build", [mpnn, norms])
def test_a_task_without_labels_takes_no_part_in_the_step(name, build):
    batch_of = {mpnn: molecules, norms: points}[build]
    network, method = build(), method_of(name)
    step(method, network, batch_of(0))
    gradients, info = step(method, network, without(batch_of(1), "b"))
    assert gradients.tasks == (0, 2)
    assert info.weights_T.shape == (3,)
    assert info.weights_T[1] == 0
    assert info.weights_T[[0, 2]].isfinite().all()
    if gradients.known_gram_TT is not None:
        assert gradients.known_gram_TT.shape == (2, 2)
    assert all(p.grad is None for p in network.task_parameters("b"))
    for task in ("a", "c"):
        assert all(p.grad is not None for p in network.task_parameters(task))
    _, info = step(method, network, batch_of(2))
    assert info.weights_T.isfinite().all()


@pytest.mark.parametrize("name", ["mgda", "cagrad", "nashmtl", "alignedmtl", "imtl"])
def test_the_others_are_weighed_as_if_there_were_no_more(name):
    batch = without(molecules(0), "b")
    method, pair = method_of(name), build_method(name, 2, dataset="qm9", profile="smoke")
    gradients, info = step(method, mpnn(), batch)
    expected_T = pair.weights(gradients.losses_T, gradients.gram())
    torch.testing.assert_close(info.weights_T[[0, 2]], expected_T)


@pytest.mark.parametrize("name", ["uw", "dwa"])
def test_what_is_learnt_about_a_task_rests_with_it(name):
    method = method_of(name)
    for seed in range(3):
        step(method, mpnn(), molecules(seed))
    before = {k: v.clone() for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    step(method, mpnn(), without(molecules(3), "b"))
    after = method.state_dict()
    key = {"uw": "log_variances.values_T", "dwa": "window_WT"}[name]
    if name == "uw":
        assert after[key][1] == before[key][1]
        assert (after[key] != before[key]).tolist() == [True, False, True]
    else:
        assert after[key][-1, 1] == before[key][-1, 1]


@pytest.mark.parametrize("name", ["ls", "mgda"])
def test_accumulated_means_are_over_the_batches_with_labels(name):
    network, method = mpnn(), method_of(name)
    batches = [molecules(0), without(molecules(1), "b"), without(molecules(2), "a", "b")]
    gradients, _ = step(method, network, *batches)
    twin = mpnn()
    expected = []
    for task, sources in zip(TASKS, ((0, 1), (0,), (0, 1, 2)), strict=True):
        losses = [
            task.loss(twin(b)[task.name], b.targets[task.name]) for b in map(molecules, sources)
        ]
        expected.append(torch.stack(losses).mean())
    torch.testing.assert_close(gradients.losses_T, torch.stack(expected).detach())
    if name == "mgda":
        shared = twin.shared_parameters()
        rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in expected]
        rows_TP = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
        torch.testing.assert_close(gradients.jacobian(), rows_TP, rtol=1e-3, atol=1e-6)


def test_a_batch_without_any_label_is_refused():
    with pytest.raises(TrainingError, match="a batch has no labels of any task"):
        step(method_of("ls"), mpnn(), without(molecules(0), *NAMES))


def test_a_run_that_ends_at_such_a_batch_tells_its_samples(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=ls")
    data = build_data(config)
    with RunRecord(tmp_path / "record") as record:
        strip = Altered(data, lambda epoch, number, batch: batch.targets.clear())
        trainer = trainer_of(config, record, data=strip)
        with pytest.raises(TrainingError, match=r"^a batch has no labels .* at epoch 1, step 1; "):
            trainer.run()
        assert trainer.incident()["update"] == {
            "samples": [data.sample_names(1, 0)],
            "losses": {},
        }


def thin_out(epoch, number, batch):
    """Take away 30 % of the labels, a task's for the whole batch."""
    generator = torch.Generator().manual_seed(1000 * epoch + number)
    missing = torch.rand(len(batch.targets), generator=generator) < 0.3
    for task, gone in zip(list(batch.targets), missing.tolist(), strict=True):
        if gone:
            del batch.targets[task]


REMEMBER = {"dwa", "graddrop", "stl", "taskforce"}
"""What they learn of tasks, or draw, goes on from step to step."""

TRAINED = [
    pytest.param(name, marks=[] if name in REMEMBER else pytest.mark.nightly) for name in METHODS
]


@pytest.mark.parametrize("name", TRAINED)
def test_training_with_labels_missing_stops_and_goes_on_bit_for_bit(name, tiny_data, tmp_path):
    def run(folder, *observers):
        config = config_of(tiny_data, tmp_path / folder, f"method={name}", "trainer.epochs=2")
        for observer in observers:
            train(config, observer, data=Altered(build_data(config), thin_out))
        return train(config, data=Altered(build_data(config), thin_out))

    straight = run("straight")
    missing = [math.isnan(x) for k, v in straight.steps.items() if k.startswith("loss/") for x in v]
    assert 0.15 < sum(missing) / len(missing) < 0.45
    assert differences(straight._asdict(), run("stopped", stop_at(3))._asdict()) == []


@pytest.mark.parametrize(("labelled", "untrained"), [((), ["mu"]), ((2,), [])])
def test_a_task_without_a_label_in_the_whole_run_is_told(labelled, untrained, tiny_data, tmp_path):
    def unlabel(epoch, number, batch):
        if epoch not in labelled or number > 0:
            without(batch, "mu")

    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=2")
    data = Altered(build_data(config), unlabel)
    assert train(config, data=data).selected["untrained"] == untrained


CHANNELS = {"segmentation": 19, "depth": 1, "normal": 3, "instance": 2, "disparity": 1}
DENSE = {
    "nyuv2": (nyuv2_tasks("batch"), {"segmentation": IGNORE, "depth": 0, "normal": 0}),
    "cityscapes": (
        cityscapes_tasks(19),
        {"segmentation": VOID, "instance": VOID, "disparity": 0},
    ),
}
"""The tasks of a data set, and the value of a pixel without a label."""


class Pixels(Architecture):
    """One convolution that is shared and one of each task."""

    def __init__(self, tasks):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Conv2d(3, 4, 1)
        self.heads = nn.ModuleDict({task: nn.Conv2d(4, CHANNELS[task], 1) for task in tasks})

    def forward(self, batch):
        features = self.trunk(batch.images_BCHW).tanh()
        predictions = {task: head(features) for task, head in self.heads.items()}
        return predictions | {"segmentation": predictions["segmentation"].log_softmax(dim=1)}

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


def pictures(tasks, seed):
    """Return a batch of which every pixel is labelled."""
    generator = torch.Generator().manual_seed(seed)

    def target(task):
        if task == "segmentation":
            return torch.randint(0, 13, (2, 4, 5), generator=generator)
        return torch.rand(2, CHANNELS[task], 4, 5, generator=generator) + 0.1

    images = torch.rand(2, 3, 4, 5, generator=generator)
    return ImageBatch(images, {task.name: target(task.name) for task in tasks})


def outcome(tasks, method, *batches):
    """Return weights, the tasks that took part, and the gradients after a step."""
    network = Pixels([task.name for task in tasks])
    gradients = BatchGradients(network, tasks, method, CPU)(batches)
    info = method.step_with(gradients)
    written = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return info.weights_T, gradients.tasks, gradients.losses_T, written


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("method", [LS, MGDA])
@pytest.mark.parametrize(
    ("dataset", "task"), [(name, task) for name, (_, voids) in DENSE.items() for task in voids]
)
def test_a_task_without_a_valid_pixel_is_a_task_without_labels(dataset, task, method, size):
    tasks, voids = DENSE[dataset]
    (number,) = (t for t, each in enumerate(tasks) if each.name == task)

    def batches(treat):
        made = [pictures(tasks, seed) for seed in range(size)]
        treat(made[0].targets)
        return made

    void = batches(lambda targets: targets[task].fill_(voids[task]))
    missing = batches(lambda targets: targets.pop(task))
    got, expected = outcome(tasks, method(3), *void), outcome(tasks, method(3), *missing)
    assert got[1] == ((0, 1, 2) if size == 2 else tuple(t for t in range(3) if t != number))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)

    one = batches(lambda targets: targets[task][..., 1:].fill_(voids[task]))
    assert outcome(tasks, method(3), *one)[1] == (0, 1, 2)


@pytest.mark.parametrize("method", [LS, MGDA])
def test_a_batch_without_a_valid_pixel_counts_only_where_all_are(method):
    tasks, voids = DENSE["nyuv2"]
    void, whole = pictures(tasks, 0), pictures(tasks, 1)
    for task, target in void.targets.items():
        target.fill_(voids[task])
    with pytest.raises(NonFiniteError, match="a batch has no labels of any task"):
        outcome(tasks, method(3), void)
    with pytest.raises(NonFiniteError, match="a batch has no labels of any task"):
        outcome(tasks, method(3), void, void)
    got, expected = outcome(tasks, method(3), void, whole), outcome(tasks, method(3), whole)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("method", ["mgda", "igbv2", "taskforce"])
def test_training_on_void_labels_is_training_without_them(method, small_data, tmp_path):
    def run(folder, alter):
        words = (f"method={method}", "trainer.on_nonfinite=skip")
        config = smallest("nyuv2", small_data, tmp_path / folder, *words)
        watcher = Watcher()
        end = train(config, watcher, data=Altered(build_data(config), alter))
        return end._asdict(), watcher

    def blank(_, number, batch):
        for task in ("depth",) if number == 0 else batch.targets:
            batch.targets[task].fill_(IGNORE if task == "segmentation" else 0)

    def drop(_, number, batch):
        for task in ("depth",) if number == 0 else list(batch.targets):
            del batch.targets[task]

    (got, watcher), (expected, _) = run("void", blank), run("missing", drop)
    assert differences(got, expected) == []
    assert [line["skipped"] for line in got["metrics"]] == [1, 1]
    assert all("a batch has no labels of any task" in text for text in watcher.messages)
    assert all(map(math.isnan, got["steps"]["loss/depth"]))


@pytest.mark.parametrize("method", ["graddrop", "igbv2"])
def test_a_method_names_the_task_and_not_its_number_among_the_present(method):
    def spoilt(prediction, target):
        return functional.mse_loss(prediction, target) * (-1 if method == "igbv2" else math.inf)

    network, chosen = mpnn(), method_of(method)
    chosen.task_names = NAMES
    tasks = [*TASKS[:2], dataclasses.replace(TASKS[2], loss=spoilt)]
    with pytest.raises(NonFiniteError, match=r"\btask c\b"):
        chosen.step_with(BatchGradients(network, tasks, chosen, CPU)([without(molecules(0), "a")]))


@pytest.mark.parametrize("policy", ["abort", "skip"])
@pytest.mark.parametrize(
    ("method", "told"),
    [("igbv2", "IGBv2: the loss of task homo is -"), ("taskforce", "task homo: loss -")],
)
def test_what_a_method_refuses_obeys_the_policy(method, told, policy, tiny_data, tmp_path):
    """A negative loss has no logarithm; the second batch of an epoch has one."""
    config = config_of(tiny_data, tmp_path, f"method={method}", f"trainer.on_nonfinite={policy}")
    data = build_data(config)

    def mark(epoch, number, batch):
        if number == 1:
            batch.targets["homo"].fill_(1e3)

    def loss(prediction, target):
        return functional.mse_loss(prediction, target) * (1 if target.max() < 1e3 else -1)

    data.tasks = tuple(dataclasses.replace(task, loss=loss) for task in data.tasks)
    watcher = Watcher()
    if policy == "abort":
        with pytest.raises(TrainingError, match=rf"{told}.* at epoch 1, step 2; nothing"):
            train(config, watcher, data=Altered(data, mark))
        return
    end = train(config, watcher, data=Altered(data, mark))
    assert [line["skipped"] for line in end.metrics] == [1, 1, 1]
    assert all(f"skipped a batch: {told}" in text for text in watcher.messages)
