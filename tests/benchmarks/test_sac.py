"""The measurement of updates of multi-task SAC."""

import pytest
import torch

from benchmarks import sac
from benchmarks.sac import LOOP, JointGradients, Size, measure, render
from mtl_bench.algorithms.sac.gradients import ControlGradients
from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.errors import ConfigError
from mtl_bench.methods import PCGrad


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(sac, "TASKS", (2, 3))
    monkeypatch.setattr(sac, "LARGEST_LOOP", 2)
    monkeypatch.setattr(sac, "SIZES", {"small": Size((8,), 4)})


@pytest.mark.usefixtures("small")
def test_methods_are_measured_and_compared_with_ls():
    result = measure(1, 1, ["ls", "stl", "pcgrad", "taskforce", LOOP])
    measured = result["median_cpu_milliseconds"]["small"]
    assert {"ls", "stl", "pcgrad", "taskforce", LOOP} == measured.keys()
    assert measured["pcgrad"].keys() == {"2", "3"}
    assert measured[LOOP].keys() == {"2"}
    ratio = measured["pcgrad"]["3"] / measured["ls"]["3"]
    assert result["relative_to_ls"]["small"]["pcgrad"]["3"] == ratio
    assert f"| {LOOP} |" in render(result)


@pytest.mark.usefixtures("small")
def test_contestants_can_be_chosen():
    result = measure(1, 1, ["pcgrad"])
    assert result["median_cpu_milliseconds"]["small"].keys() == {"pcgrad"}
    with pytest.raises(ConfigError, match="only=sgd: no such contestant; there are "):
        measure(1, 1, ["sgd"])


def test_the_loop_over_a_joint_graph_has_the_same_gradients():
    torch.manual_seed(0)
    network = MLP("abc", Shape(5, 2, members=2), heads=False, hidden=(8,), initialization="xavier")
    inputs_TBI = torch.randn(3, 4, 5)

    def losses(evaluate, data):
        losses_T = evaluate(data).square().mean(dim=(0, 2, 3))
        return losses_T, losses_T.detach()

    seen = []
    jacobians = [
        kind(network, losses, seen.append, PCGrad(3), lambda: None)(inputs_TBI).jacobian()
        for kind in (ControlGradients, JointGradients)
    ]
    torch.testing.assert_close(*jacobians)
    torch.testing.assert_close(*seen)
