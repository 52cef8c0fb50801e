"""The optimisers and schedules that a configuration may name, as torch carries them out."""

import math
import re

import pytest
import torch

from mtl_bench.algorithms.supervised.optimizer_group import OptimizerGroup
from mtl_bench.config.build import build_optimizer, build_scheduler
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError
from mtl_bench.scores import MeanOf
from mtl_bench.tasks import ControlTask, Metric
from tests.training.runs import config_of, differences, stop_at, train

STEP = "{_target_: torch.optim.lr_scheduler.StepLR, step_size: 2, gamma: 0.5}"
MULTI_STEP = "{_target_: torch.optim.lr_scheduler.MultiStepLR, milestones: [1, 3], gamma: 0.5}"
COSINE = "{_target_: torch.optim.lr_scheduler.CosineAnnealingLR, T_max: 4, eta_min: 2}"
PLATEAU = (
    "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, factor: 0.5, patience: 0, min_lr: 0}"
)
OPTIMIZERS = {
    "SGD": "lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0.01",
    "SGD, Nesterov": "lr: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0",
    "SGD, plain": "lr: 0.01, momentum: 0, nesterov: false, weight_decay: 0",
    "Adam": "lr: 0.01, betas: [0.8, 0.9], eps: 1e-6, weight_decay: 0.01",
    "AdamW": "lr: 0.01, betas: [0.8, 0.9], eps: 1e-6, weight_decay: 0.01",
    "RMSprop": (
        "lr: 0.01, alpha: 0.9, eps: 1e-6, momentum: 0.5, centered: true, weight_decay: 0.01"
    ),
    "Adagrad": "lr: 0.01, lr_decay: 0.1, eps: 1e-6, weight_decay: 0.01",
}


def choose(section, value):
    """Return overrides that put a section in the data set's place."""
    return f"~{section}", f"+{section}={value}"


def optimizer_of(name):
    """Return overrides that choose an optimiser."""
    kind = name.partition(",")[0]
    return choose("optimizer", f"{{_target_: torch.optim.{kind}, {OPTIMIZERS[name]}}}")


@pytest.mark.parametrize(
    ("section", "warmup_epochs", "rates"),
    [
        (STEP, 0, [8, 8, 4, 4, 2]),
        (MULTI_STEP, 0, [8, 4, 4, 2, 2]),
        (COSINE, 0, [8, 5 + 3 * math.sqrt(0.5), 5, 5 - 3 * math.sqrt(0.5), 2]),
        (PLATEAU, 0, [8, 8, 4, 2, 1]),
        ("null", 0, [8, 8, 8, 8, 8]),
        (STEP, 1, [4, 8, 8, 4, 4, 2]),
        (MULTI_STEP, 3, [2, 4, 6, 8, 4, 4, 2]),
        (COSINE, 3, [2, 4, 6, 8, 5 + 3 * math.sqrt(0.5), 5, 5 - 3 * math.sqrt(0.5), 2]),
        (PLATEAU, 3, [2, 4, 6, 8, 8, 4, 2]),
        ("null", 7, [1, 2, 3, 4, 5, 6, 7, 8, 8]),
    ],
)
def test_the_learning_rate_of_every_epoch(section, warmup_epochs, rates):
    words = ("dataset=qm9", "method=ls", "optimizer.lr=8", *choose("scheduler", section))
    config = compose_config(words)
    group = OptimizerGroup(
        [],
        [torch.nn.Parameter(torch.zeros(1))],
        lambda parameters: build_optimizer(config["optimizer"], parameters),
        config["scheduler"] and (lambda each: build_scheduler(config["scheduler"], each)),
        warmup_epochs,
    )
    found = []
    for epoch in range(1, len(rates) + 1):
        found.append(group.learning_rate())
        group.optimizer.step()
        group.end_epoch(epoch, 1.0)  # which never improves
    assert found == pytest.approx(rates, rel=1e-12)


@pytest.mark.parametrize("higher", [True, False])
def test_a_plateau_of_the_score_lowers_the_learning_rate(higher):
    """An equal score is no better one, be it above or below zero."""
    words = ("dataset=qm9", "method=ls", "optimizer.lr=8", *choose("scheduler", PLATEAU))
    config = compose_config(words)
    task = ControlTask("a", "a", (Metric("x", higher_is_better=higher),))
    group = OptimizerGroup(
        [task],
        [torch.nn.Parameter(torch.zeros(1))],
        lambda parameters: build_optimizer(config["optimizer"], parameters),
        lambda each: build_scheduler(config["scheduler"], each),
        score=MeanOf.of("x", [task]),
    )
    for epoch, value in enumerate([0.5, 0.7, 0.7] if higher else [0.7, 0.5, 0.5], 1):
        group.optimizer.step()
        group.end_epoch(epoch, group.criterion({"a": {"x": value}}, {}))
    assert group.learning_rate() == 4
    assert group.best_epoch == 3


NIGHTLY = ("SGD, Nesterov", "SGD, plain", "AdamW", "Adagrad")
"""They remember what another does."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly if name in NIGHTLY else [])
        for name in OPTIMIZERS
    ],
)
def test_an_optimizer_has_its_fields_and_goes_on_as_if_not_stopped(name, tiny_data, tmp_path):
    words = ("method=ls", "trainer.epochs=4", "trainer.warmup_epochs=2", *optimizer_of(name))
    cosine = choose("scheduler", COSINE.replace("eta_min: 2", "eta_min: 0"))

    def config_in(folder):
        return config_of(tiny_data, tmp_path / folder, *words, *cosine)

    straight = train(config_in("straight"))
    for more in (3, 3, 7):  # the warm-up's first epoch, its second, and after it
        assert train(config_in("stopped"), stop_at(more)).selected is None
    assert differences(straight, train(config_in("stopped"))) == []
    (state,) = straight.state["learners"]
    (used,) = state["optimizer"]["param_groups"]
    section = config_in("any")["optimizer"]
    kind = getattr(torch.optim, name.partition(",")[0])
    for field, value in section.items():
        if field not in ("_target_", "lr"):
            assert used[field] == (tuple(value) if isinstance(value, list) else value)
    assert isinstance(build_optimizer(section, [torch.nn.Parameter(torch.zeros(1))]), kind)
    first_rates = [line["learning_rate"] for line in straight.state["progress"]["history"]]
    assert first_rates == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01 * (1 + 0.5**0.5) / 2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimizer._target_=torch.optim.LBFGS",), "must be one of"),
        (("optimizer._target_=torch.optim.SGD",), "optimizer.momentum is missing"),
        (choose("optimizer", "{_target_: torch.optim.Adagrad, lr: -1}"), "optimizer.lr=-1"),
        (choose("scheduler", COSINE.replace("T_max: 4", "T_max: 0")), "scheduler.T_max=0"),
        (("trainer.warmup_epochs=-1",), "trainer.warmup_epochs=-1"),
    ],
)
def test_a_mistake_names_its_key(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        compose_config(["dataset=qm9", "method=ls", *words])


def test_no_warm_up_is_the_run_that_it_was_before_there_was_one():
    config = compose_config(["dataset=qm9", "method=ls"])
    before = config | {
        "trainer": {k: v for k, v in config["trainer"].items() if k != "warmup_epochs"}
    }
    assert config_hash(before) == config_hash(config)
    warm = compose_config(["dataset=qm9", "method=ls", "trainer.warmup_epochs=1"])
    assert config_hash(warm) != config_hash(config)
