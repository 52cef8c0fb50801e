"""Training in float16: losses are scaled, and nothing outside of the network sees it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from mtl_bench.algorithms.base import Component
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures.base import Architecture
from mtl_bench.errors import ConfigError, NonFiniteError
from mtl_bench.methods import LS, UW, CosReg, NashMTL, TaskForce
from mtl_bench.tasks import Task
from mtl_bench.training.update import Update
from tests.training.runs import config_of, differences, stop_at, train

CPU = torch.device("cpu")
NAMES = ("large", "small")
SIZES = {"large": 1.0, "small": 1e-4}
"""Of the losses."""


class Halved(Architecture):
    """Two heads above a trunk with dropout and a batch norm."""

    has_representation = True

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Tanh())
        self.heads = nn.ModuleDict({name: nn.Linear(16, 1) for name in NAMES})

    def representation(self, batch):
        return self.trunk(batch.x)

    def predict(self, representation, batch):
        return {name: head(representation)[:, 0] for name, head in self.heads.items()}

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


class Points:
    def __init__(self, x):
        self.x, self.targets = x, {name: x.sum(dim=1) for name in NAMES}

    def to(self, device):
        return self


def loss(size):
    return lambda predicted, wanted: size * functional.mse_loss(predicted, wanted)


TASKS = tuple(Task(name, name, loss(size), (), lambda: None) for name, size in SIZES.items())


def component(method, precision, scale=None):
    torch.manual_seed(0)
    network = Halved()
    source = BatchGradients(network, TASKS, method, CPU, precision=precision)
    if scale is not None:
        source.loss_scale.value = scale
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return Component("", network, source, method, [optimizer], loss_scale=source.loss_scale)


def updated(component, steps=3, **options):
    """Make updates; return the last result and everything that they have moved."""
    torch.manual_seed(1)
    update = Update(NAMES, **options)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        batch = Points(torch.randn(32, 4, generator=generator))
        result = update(component, [batch])
    moved = component.module.state_dict() | component.method.state_dict()
    return result, moved | {"torch": torch.get_rng_state()}


@pytest.mark.parametrize("method", [LS, UW, NashMTL])
def test_it_is_close_to_float32(method):
    half, moved = updated(component(method(2), "fp16"))
    single, wanted = updated(component(method(2), "float32"))
    torch.testing.assert_close(half.losses_S, single.losses_S, rtol=5e-3, atol=0)
    torch.testing.assert_close(half.weights_T, single.weights_T, rtol=5e-3, atol=0)
    if half.gram_SS is not None:
        torch.testing.assert_close(half.gram_SS, single.gram_SS, rtol=2e-2, atol=0)
    for name, p in component(method(2), "fp16").module.named_parameters():
        assert p.dtype == moved[name].dtype == torch.float32
        torch.testing.assert_close(moved[name], wanted[name], rtol=1e-2, atol=5e-4)


def test_gradients_below_the_range_of_float16_are_kept():
    def squares(scale):
        result, _ = updated(component(NashMTL(2), "fp16", scale), steps=1)
        return result.gram_SS.diagonal()

    single = updated(component(NashMTL(2), "float32"), steps=1)[0].gram_SS.diagonal()
    torch.testing.assert_close(squares(2.0**16), single, rtol=2e-2, atol=0)
    assert (squares(2.0**-12)[1] / single[1] - 1).abs() > 0.1  # the smaller loss's underflow


@pytest.mark.parametrize("method", [LS, UW, NashMTL])
def test_an_update_that_overflows_is_made_anew_with_half_the_scale(method):
    overflowing = component(method(2), "fp16", 2.0**40)
    _, moved = updated(overflowing, steps=1)
    found = overflowing.loss_scale.value
    assert found < 2.0**30
    _, wanted = updated(component(method(2), "fp16", found), steps=1)
    assert differences(wanted, moved) == []


def test_gradients_that_overflow_unscaled_end_the_run():
    broken = component(LS(2), "fp16")
    broken.module.trunk[0].weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(NonFiniteError, match=r"the gradient of trunk\.0\.weight is not finite"):
        updated(broken)
    assert broken.loss_scale.value == 1


def test_it_is_part_of_a_run_that_goes_on_bit_for_bit(tiny_data, tmp_path):
    words = ("method=mgda", "trainer.precision=fp16")
    straight = train(config_of(tiny_data, tmp_path / "straight", *words))
    assert straight.state["loss_scale"]["since"] == len(straight.steps["step"])
    config = config_of(tiny_data, tmp_path / "stopped", *words)
    train(config, stop_at(3))
    assert differences(straight._asdict(), train(config)._asdict()) == []


@pytest.mark.parametrize(
    ("method", "level", "hindrance"),
    [
        (NashMTL(2), "representation", "level=representation"),
        (CosReg(2), "parameters", "CosReg, which differentiates"),
        (TaskForce(2, transition="same_batch"), "parameters", "TaskForce, which looks at"),
    ],
)
def test_what_it_does_not_go_with_is_refused(method, level, hindrance):
    with pytest.raises(ConfigError, match=f"^trainer.precision=fp16: not with .*{hindrance}"):
        BatchGradients(Halved(), TASKS, method, CPU, precision="fp16", level=level)
