"""Updates of several processes equal those of one that takes as many batches for an update."""

import copy
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from mtl_bench.algorithms.supervised import Supervised
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.methods import MGDA
from mtl_bench.ranks import ALONE
from mtl_bench.training.curvature import doubled
from mtl_bench.training.update import Update
from tests.algorithms.test_batch_gradients import CPU, TASKS, Between, points
from tests.golden.cells import ROOT
from tests.together import run_together
from tests.training.runs import smallest

SGD = {
    "_target_": "torch.optim.SGD",
    "lr": 0.01,
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
}
"""Adam makes a step of full length of a gradient that is nothing but rounding."""

FIELDS = {
    "taskforce": {"batch_size": 2},
    "igbv2": {
        "base_epoch": 0,
        "random_epochs": 0,
        "update_after_epochs": 1,
        "update_every": 2,
        "batch_size": 2,
    },
    "composed": {"weighting": "UW", "combination": "GradDrop"},
    "stch": {"warmup_epochs": 0},
    "gradnorm": {"norms_of": "last_layer"},
    "sdmgrad": {"learning_rate": 0.5},
}
"""Fields with which every part of a method is at work within a few updates, and its own descent
does not make steps so long that they magnify rounding."""

SIZES = {
    "qm9": ("dataset.batch_size=8",),
    "cityscapes": ("dataset.train_size=6",),
    "nyuv2": ("dataset.train_size=5", "dataset.batch_size=1"),
    "cifar100": ("architecture=routed", "dataset.batch_size=8"),
}
"""Overrides that leave an odd number of batches."""

KINDS = ("ls", "nashmtl", "graddrop")
"""A method of losses, one of the Gram matrix, one of gradients."""

METHODS = sorted(
    {path.stem for path in (ROOT / "configs" / "method").glob("*.yaml")} - {"torchjd", "cosreg"}
)
"""All but the one that needs a package and the one that is for one process."""

QUICK = ("composed", "famo", "graddrop", "mgda", "nashmtl", "taskforce")
"""Some of every kind, those that look again among them."""


AT_REPRESENTATION = {"level": "representation"}


class Listed:
    """A data set whose batches are made once; some lack labels."""

    def __init__(self, data, alter):
        self.data = data
        self.batches = [doubled(batch) for batch in data.train_batches(1)]
        self.steps_per_epoch = len(self.batches)
        for number, batch in enumerate(self.batches):
            alter(number, batch)

    def __getattr__(self, name):
        return getattr(self.data, name)

    def train_batches(self, epoch, start=0, workers=0, pin=False, numbers=None):
        yield from (self.batches[n] for n in numbers or range(start, len(self.batches)))


def complete(number, batch):
    """Leave all labels."""


def lacking(number, batch):
    """Take labels away: one task of every batch, another of the first, all of the third."""
    names = list(batch.targets)
    gone = {names[number % 3], *(names[:4] if number == 0 else ()), *(names if number == 2 else ())}
    for name in gone:
        del batch.targets[name]


def unlabelled(number, batch):
    """Make the depth of the first and the fourth image unknown, by its mask."""
    if number in (0, 3):
        batch.targets["depth"].zero_()


def updates(ranks, config, alter, epochs=2):
    """Return losses, weights, gradients and buffers of every update.

    All is in float64, so that rounding is far below everything else.
    """
    algorithm = build_algorithm(
        config, Listed(build_data(config), alter), torch.device("cpu"), ranks
    )
    assert isinstance(algorithm, Supervised)
    algorithm.network.double()
    (component,) = algorithm.components
    update = Update([task.name for task in algorithm.tasks], ranks=ranks)
    made = []

    def noting(component, data):
        made.append(result := update(component, data))
        return result

    found = []
    for epoch in range(1, epochs + 1):
        for data in algorithm.epoch(epoch, 0):
            algorithm.step(data, noting)
            result = made[-1]
            found.append(
                {
                    "tasks": result.tasks,
                    "losses": result.losses_S,
                    "weights": result.weights_T,
                    "gradients": {
                        name: None if p.grad is None else p.grad.clone()
                        for name, p in algorithm.network.named_parameters()
                    },
                    "buffers": {n: b.clone() for n, b in algorithm.network.named_buffers()},
                    "diagnostics": {
                        key: value
                        for key, value in result.diagnostics.items()
                        if not key.startswith("solver")
                    },
                }
            )
        component.method.end_epoch()
    return found


def several(ranks, cases):
    """Return the updates of many cases."""
    return {name: updates(ranks, *case) for name, case in cases.items()}


@cache
def base(dataset, small_data, *overrides):
    return smallest(dataset, small_data, Path("unused"), "method=ls", *overrides)


def config_of(small_data, dataset, method, size, **gradients):
    """Return the configuration of a method with its class's own fields, and those of FIELDS."""
    config = copy.deepcopy(base(dataset, small_data, *SIZES[dataset]))
    target = re.search(r"_target_: (\S+)", (ROOT / f"configs/method/{method}.yaml").read_text())
    assert target is not None
    config["method"] = {"name": method, "_target_": target[1], **FIELDS.get(method, {})}
    config["optimizer"] = dict(SGD)
    config["trainer"]["accumulate"] = size
    config["gradients"] |= gradients
    return config


def check(small_data, folder, size, cases):
    """Compare the updates of several processes with those of one, case by case.

    Args:
        small_data: of the fixture.
        folder: for the processes.
        size: how many there are.
        cases: (data set, method, what is done to the batches, fields of ``gradients``).
    """
    configs = {
        str(case): (config_of(small_data, dataset, method, size, **gradients), alter)
        for case in cases
        for dataset, method, alter, gradients in [case]
    }
    expected = several(ALONE, configs)
    answers = run_together(size, folder / str(size), several, configs)
    for rank, answer in enumerate(answers):
        assert isinstance(answer, dict), f"process {rank}: {answer!r}"
        for name, own in answer.items():
            where = f"process {rank}, {name}"
            assert len(own) == len(expected[name]) > 1, where
            for step, (got, wanted) in enumerate(zip(own, expected[name], strict=True)):
                assert_close(got, wanted, f"{where}, update {step}")
                assert_same(got, answers[0][name][step], f"{where}, update {step}")


def assert_close(got, wanted, where):
    """Compare what two updates came to, but for rounding."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys(), where
        for key in wanted:
            assert_close(got[key], wanted[key], f"{where}, {key}")
    elif isinstance(wanted, torch.Tensor) and wanted.is_floating_point():
        torch.testing.assert_close(
            got, wanted, rtol=1e-5, atol=1e-7, msg=lambda text: f"{where}: {text}"
        )
    elif isinstance(wanted, float):
        assert got == pytest.approx(wanted, rel=1e-5, abs=1e-7), where
    else:
        assert_same(got, wanted, where)


def assert_same(got, wanted, where):
    """Compare what two processes know of an update, bit for bit."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys(), where
        for key in wanted:
            assert_same(got[key], wanted[key], f"{where}, {key}")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(got, wanted), where
    else:
        assert got == wanted, where


def test_two_processes_make_the_updates_of_one(small_data, tmp_path):
    check(
        small_data,
        tmp_path,
        2,
        [
            *(("qm9", method, lacking, {}) for method in QUICK),
            ("qm9", "mgda", complete, {"max_memory": 1e-5}),
            ("nyuv2", "nashmtl", unlabelled, {}),
            ("qm9", "graddrop", lacking, AT_REPRESENTATION),
            ("cifar100", "mgda", complete, {}),  # its agents learn by other means than gradients
        ],
    )


def between(ranks):
    """Return the gradients of the parameters above a representation that no method combines."""
    torch.manual_seed(0)
    network, method = Between(), MGDA(3, head_weighting="unweighted")
    source = BatchGradients(network, TASKS, method, CPU, level="representation", ranks=ranks)
    gradients = source([points(number) for number in range(2)][ranks.number :: ranks.size])
    gradients.lead(lambda: method.step_with(gradients))
    return [p.grad for p in network.summed_parameters()]


def test_processes_sum_the_gradients_above_the_representation(tmp_path):
    for own in run_together(2, tmp_path / "two", between):
        torch.testing.assert_close(own, between(ALONE))


@pytest.mark.nightly
@pytest.mark.parametrize("size", [2, 3])
def test_processes_make_the_updates_of_one(small_data, tmp_path, size):
    backends = ("loop", "batched", "streamed")
    check(
        small_data,
        tmp_path,
        size,
        [
            *(("qm9", m, alter, {}) for m in METHODS for alter in (complete, lacking)),
            *(("qm9", m, lacking, {"backend": b}) for m in KINDS for b in backends),
            *(
                ("qm9", m, lacking, AT_REPRESENTATION)
                for m in METHODS
                if m not in ("dbmtl", "moco")
            ),
            *(("cityscapes", m, complete, AT_REPRESENTATION) for m in KINDS),
            *(("cityscapes", m, complete, {"backend": b}) for m in KINDS for b in backends),
            *(("nyuv2", m, alter, {}) for m in KINDS for alter in (complete, unlabelled)),
        ],
    )
