"""The curvature along an update: closed forms, and trainings that take no note of it."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mtl_bench.algorithms.base import Component
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import LS, PCGrad
from mtl_bench.training.curvature import CurvatureProbe, doubled
from mtl_bench.training.update import Update
from tests.algorithms.test_sac import SMALL, logs_of, state_of
from tests.algorithms.test_sac import config_of as control_config
from tests.algorithms.test_sac import train as train_control
from tests.nightly import gate
from tests.training.runs import (
    METHODS,
    DropoutMPNN,
    config_of,
    differences,
    read_steps,
    smallest,
    train,
)


class Source:
    """Losses of a vector, written as functions."""

    def __init__(self, module, *functions):
        self.module, self.functions = module, functions

    def __call__(self, data):
        losses = [f(self.module.theta, data) for f in self.functions]
        return TaskGradients(losses, [self.module.theta])

    def task_losses(self, network, data):
        return {t: f(network.theta, data) for t, f in enumerate(self.functions)}


def component_of(functions, method, lr=0.1, start=(1.0, -2.0)):
    module = nn.Module()
    module.theta = nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([module.theta], lr=lr)
    return Component("", module, Source(module, *functions), method(len(functions)), [optimizer])


def measured(component):
    """Return θ' - θ of an update, and its curvature."""
    update = Update(["a", "b"])
    update.measures_curvature = True
    before = component.module.theta.detach().double()
    result = update(component, torch.ones(1))
    return component.module.theta.detach().double() - before, result.curvature


MATRIX = torch.tensor([[3.0, 1.0], [1.0, 40.0]], dtype=torch.float64)
BEND = torch.tensor([[2.0, 0.0], [0.0, -5.0]], dtype=torch.float64)


def quadratic(matrix):
    return lambda theta, data: data.sum() * 0.5 * (theta @ matrix.to(theta) @ theta) + 1e4


@pytest.mark.parametrize("method", [LS, PCGrad])
def test_of_quadratic_losses_it_is_the_step_in_the_sum_of_their_hessians(method):
    """Exact also where the step is so small that a loss of 10^4 in float32 doesn't see it."""
    for lr in (0.1, 1e-3):
        component = component_of((quadratic(MATRIX), quadratic(BEND)), method, lr)
        step, found = measured(component)
        assert found == pytest.approx((step @ (MATRIX + BEND) @ step).item(), rel=1e-5)


def test_losses_without_curvature_have_none():
    slopes = [torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 1.0])]
    functions = [
        partial(lambda slope, theta, _: (slope.to(theta) * theta).sum(), s) for s in slopes
    ]
    step, found = measured(component_of(functions, PCGrad))
    assert step.abs().min() > 0
    assert abs(found) < 1e-12


def test_it_is_the_mean_second_derivative_along_the_step():
    """H = 2 ∫ (1 - a) dᵀ ∇²L(θ + a d) d da, by the trapezoidal rule (Taylor's remainder)."""

    def one(theta, _):
        return (3 * theta[0]).sin() * theta[1].square()

    def other(theta, _):
        return (theta.square().sum() + 1).log()

    component = component_of((one, other), LS, lr=0.3)
    before = component.module.theta.detach().double()
    step, found = measured(component)

    def along(share):
        hessian = torch.autograd.functional.hessian(
            lambda theta: one(theta, None) + other(theta, None), before + share * step
        )
        return 2 * (1 - share) * (step @ hessian @ step).item()

    shares = np.linspace(0, 1, 401)
    assert found == pytest.approx(np.trapezoid([along(a) for a in shares], shares), rel=1e-4)


def test_tasks_that_take_no_part_count_for_nothing():
    component = component_of((quadratic(MATRIX), quadratic(BEND)), LS)
    probe = CurvatureProbe(component, torch.ones(1))
    with torch.no_grad():
        component.module.theta += torch.tensor([0.5, 0.25])
    step = torch.tensor([0.5, 0.25], dtype=torch.float64)
    assert probe.measure([1]) == pytest.approx((step @ BEND @ step).item())


def test_data_are_doubled_wherever_they_are():
    class Plain:
        def __init__(self):
            self.values, self.name = torch.ones(2), "x"

    found = doubled([{"a": torch.ones(1)}, (torch.arange(2), 3, None), Plain()])
    assert found[0]["a"].dtype == found[2].values.dtype == torch.float64
    assert found[1][0].dtype == torch.int64
    assert (found[1][1:], found[2].name) == ((3, None), "x")


def test_only_one_that_measures_has_another_hash():
    of = partial(compose_config, ["dataset=qm9", "method=ls"])
    known = config_hash(of())
    config = of()
    del config["trainer"]["curvature_every"]  # as in a record from before
    assert config_hash(config) == known
    config["trainer"]["curvature_every"] = 5
    assert config_hash(config) != known


def without_curvature(steps):
    """Return the other columns, and the steps at which it was measured."""
    rest = dict(steps)
    found = zip(rest["step"], rest.pop("curvature"), strict=True)
    return rest, [step for step, value in found if math.isfinite(value)]


@pytest.mark.parametrize(
    "words",
    [METHODS["ls"], METHODS["stl"], (*METHODS["taskforce"], "method.transition=same_batch")],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("accumulate", gate(1, [2, 1]))
def test_a_supervised_training_is_the_same_to_the_bit(words, accumulate, tiny_data, tmp_path):
    words = (*words, f"trainer.accumulate={accumulate}", "trainer.epochs=2")

    def end(name, *more):
        config = config_of(tiny_data, tmp_path / name, *words, *more)
        config["architecture"]["_target_"] = f"{DropoutMPNN.__module__}.{DropoutMPNN.__name__}"
        return train(config)

    plain, found = end("plain"), end("measured", "trainer.curvature_every=3")
    steps, known = without_curvature(found.steps)
    assert differences(plain._asdict(), found._replace(steps=steps)._asdict()) == []
    assert known == steps["step"][2::3]


@pytest.mark.parametrize("method", ["ls", "pcgrad", "taskforce"])
@pytest.mark.parametrize("network", gate(1, ["paco", "mlp"]))
def test_a_training_of_critics_and_policy_is_the_same_to_the_bit(method, network, tmp_path):
    words = [f"method={method}", f"architecture={network}", "trainer.epochs=2"]
    words += ["method.batch_size=4"] * (method == "taskforce")
    plain, _ = train_control(control_config(tmp_path / "plain", *words))
    found, _ = train_control(
        control_config(tmp_path / "measured", *words, "trainer.curvature_every=5")
    )
    assert differences(state_of(plain), state_of(found)) == []
    (lines, steps), (same, measured_steps) = logs_of(plain), logs_of(found)
    assert differences(lines, same) == []
    for own, other in zip(steps, measured_steps, strict=True):
        rest, known = without_curvature(other)
        assert differences(own, rest) == []
        assert known == [5, 10, 15, 20]


@pytest.mark.parametrize("network", ["care", "dgrad", "film", "multihead", "softmodular"])
def test_every_network_of_critics_and_policy_can_be_measured(network, tmp_path):
    words = (word for word in SMALL if "architecture.hidden" not in word)
    own = ("method=pcgrad", f"architecture={network}", "trainer.epochs=1")
    config = compose_config(
        [*words, f"paths.results={tmp_path}", *own, "trainer.curvature_every=6"]
    )
    trainer, _ = train_control(config)
    for component in ("critic", "actor"):
        _, known = without_curvature(read_steps(trainer.record.steps / component))
        assert known == [6, 12]


@pytest.mark.parametrize(
    ("dataset", "network"),
    [("nyuv2", "segnet"), ("nyuv2", "mtan"), ("cityscapes", "pspnet")],
)
def test_every_supervised_network_can_be_measured(dataset, network, small_data, tmp_path):
    words = ("method=ls", f"architecture={network}", "trainer.epochs=1")
    config = smallest(dataset, small_data, tmp_path, *words, "trainer.curvature_every=1")
    _, known = without_curvature(train(config).steps)
    assert known == [1, 2]
