"""The contracts' checks find what they are there to find."""

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from mtl_bench.architectures.base import Architecture
from mtl_bench.config.build import build_data
from mtl_bench.config.compose import compose_config
from mtl_bench.methods.base import Method, StepInfo
from mtl_bench.tasks import Metric
from mtl_bench.testing import check_architecture, check_dataset, check_method


class Equal(Method):
    def weights(self, losses_T, gram_TT=None):
        return torch.ones(self.num_tasks)


class Fragile(Method):
    needs = "gram"

    def weights(self, losses_T, gram_TT=None):
        return 1 / gram_TT.diagonal().sqrt()


class Scalar(Equal):
    def weights(self, losses_T, gram_TT=None):
        return torch.ones(())


class Forgetful(Equal):
    steps = 0

    def weights(self, losses_T, gram_TT=None):
        self.steps += 1
        return torch.full((self.num_tasks,), float(self.steps))


class Borrowing(Equal):
    def weights(self, losses_T, gram_TT=None):
        random.random()
        return super().weights(losses_T)


class Unseeded(Equal):
    def weights(self, losses_T, gram_TT=None):
        return torch.rand(self.num_tasks)


class Talkative(Equal):
    def weights(self, losses_T, gram_TT=None):
        self.diagnostics = self.diagnostics | {f"step{len(self.diagnostics)}": 0.0}
        return super().weights(losses_T)


class Undecided(Equal):
    def __init__(self, num_tasks):
        super().__init__(num_tasks)
        self.separate_networks = True


class Mistyped(Equal):
    needs = "grams"


class Lazy(Method):
    def combine(self, gradients):
        return StepInfo(torch.ones(self.num_tasks))


def test_a_method_that_keeps_everything_passes():
    check_method(Equal)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Fragile, "Fragile, Gram matrix 'one zero row'.* weights"),
        (Scalar, r"shape \(\) for 3 tasks"),
        (Forgetful, "Forgetful, saved after 0 steps and loaded: other weights"),
        (Borrowing, "draws from a global generator"),
        (Unseeded, "two of the same seed differ"),
        (Talkative, "other diagnostics from step to step"),
        (Mistyped, "needs = 'grams'"),
        (Undecided, r"Undecided\.separate_networks is an attribute of the class"),
        (Lazy, "writes no gradient"),
        (nn.Identity, "Identity is no Method"),
    ],
)
def test_what_a_method_does_not_keep_is_named(build, message):
    with pytest.raises(AssertionError, match=message):
        check_method(build)


class Two(Architecture):
    """A hidden layer and two heads; a test divides its parameters as it likes."""

    has_representation = True

    def __init__(self, shared, heads):
        super().__init__()
        self.trunk = nn.Linear(2, 3)
        self.extra = nn.Linear(3, 3)
        self.heads = nn.ModuleDict({task: nn.Linear(3, 1) for task in "ab"})
        self.lists = shared, heads

    def representation(self, batch):
        return self.extra(self.trunk(batch))

    def predict(self, representation, batch):
        return {task: head(representation) for task, head in self.heads.items()}

    def shared_parameters(self):
        return [p for name in self.lists[0] for p in self.get_submodule(name).parameters()]

    def task_parameters(self, task):
        names = self.lists[1][task]
        return [p for name in names for p in self.get_submodule(name).parameters()]


HEADS = {"a": ["heads.a"], "b": ["heads.b"]}


def test_an_architecture_that_divides_its_parameters_passes():
    check_architecture(Two(["trunk", "extra"], HEADS), torch.ones(4, 2), "ab")


@pytest.mark.parametrize(
    ("shared", "heads", "message"),
    [
        (["trunk"], HEADS, "extra.weight stands 0 times"),
        (["trunk", "extra", "extra"], HEADS, "extra.weight stands 2 times"),
        (["trunk"], HEADS | {"a": ["extra", "heads.a"]}, "b reaches .*extra.weight.* another"),
        (["trunk", "extra", "heads.a"], HEADS | {"a": []}, "heads.a.* not both"),
    ],
)
def test_a_parameter_in_the_wrong_list_is_named(shared, heads, message):
    with pytest.raises(AssertionError, match=message):
        check_architecture(Two(shared, heads), torch.ones(4, 2), "ab")


def test_a_prediction_that_is_missing_is_named():
    network = Two(["trunk", "extra"], HEADS | {"c": []})
    with pytest.raises(AssertionError, match="not c"):
        check_architecture(network, torch.ones(4, 2), "abc")


@pytest.fixture
def qm9(tiny_data):
    sizes = [f"dataset.{split}_size=30" for split in ("train", "val", "test")]
    words = ["dataset=qm9", "method=ls", "dataset.batch_size=7", f"paths.data='{tiny_data}'"]
    return build_data(compose_config([*words, *sizes]))


def test_qm9_keeps_the_contract_of_a_data_set(qm9):
    check_dataset(qm9)


@pytest.mark.parametrize("reference", [None, 0.0, -2.0])
def test_a_data_set_needs_no_published_value_above_zero(reference, qm9):
    measure_against(reference)(qm9)
    check_dataset(qm9)


def measure_against(reference):
    """Give every task one metric with this published value."""

    def change(data):
        metrics = (Metric("mae", reference=reference),)
        data.tasks = tuple(replace(task, metrics=metrics) for task in data.tasks)

    return change


def batches_by(order):
    """Replace an epoch's batches by the same ones in another order."""

    def change(data):
        batches = data.train_batches
        data.train_batches = lambda epoch, start=0: iter(order(list(batches(epoch)), start))

    return change


def rename(data):
    data.task_names = ("x",)


def empty(data):
    data.evaluation_batches = lambda split: iter(())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (batches_by(lambda batches, start: batches), "start=2: 5 batches, not 3"),
        (batches_by(lambda batches, start: batches[start:][::-1] if start else batches), "batch 0"),
        (batches_by(lambda batches, start: batches[1:]), "an epoch has 4 batches"),
        (rename, "task_names"),
        (measure_against(math.nan), "mae of mu has the reference nan"),
        (empty, "the validation split is empty"),
    ],
)
def test_what_a_data_set_does_not_keep_is_named(change, message, qm9):
    change(qm9)
    with pytest.raises(AssertionError, match=message):
        check_dataset(qm9)
