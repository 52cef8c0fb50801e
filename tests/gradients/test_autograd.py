"""The thin layers over torch.autograd, and the choice of a backend."""

import pytest
import torch
from torch import nn

from mtl_bench.architectures.base import Architecture
from mtl_bench.gradients import choose_backend
from mtl_bench.gradients.autograd import (
    differentiate,
    fill,
    inner_product,
    parameter_runs,
    write_gradients,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_what_is_not_reached_has_no_gradient():
    reached, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    loss = 3 * reached.sum()
    gradient, none = differentiate(loss, [reached, other])
    assert torch.equal(gradient, torch.full((2,), 3.0))
    assert none is None
    assert differentiate(torch.tensor(1.0), [reached, other]) == (None, None)
    assert differentiate(loss, []) == ()


@pytest.mark.parametrize("keep", [False, True])
def test_the_graph_is_kept_only_if_asked_for(keep):
    parameter = nn.Parameter(torch.ones(2))
    loss = parameter.square().sum()
    differentiate(loss, [parameter], **({"keep": True} if keep else {}))
    if keep:
        differentiate(loss, [parameter])
    with pytest.raises(RuntimeError, match="second time"):
        differentiate(loss, [parameter])


def test_gradients_lie_one_after_another_and_missing_ones_are_zero():
    parameters = [torch.empty(2, 3), torch.empty(2), torch.empty(3)]
    row_P = torch.full((11,), -1.0)
    fill(row_P, parameters, [torch.arange(6.0).view(3, 2).T, None, torch.ones(3)])
    assert row_P.tolist() == [0, 2, 4, 1, 3, 5, 0, 0, 1, 1, 1]
    fill(torch.empty(0), [], [])


def test_every_parameter_gets_a_gradient_and_a_fitting_one_is_not_copied():
    plain, turned, missing = (nn.Parameter(torch.ones(2, 3)) for _ in range(3))
    own, transposed = torch.rand(2, 3), torch.rand(3, 2).T
    write_gradients([plain, turned, missing], [own, transposed, None])
    assert plain.grad is own
    assert turned.grad.is_contiguous()
    assert torch.equal(turned.grad, transposed)
    assert torch.equal(missing.grad, torch.zeros(2, 3))


def test_tasks_that_share_nothing_have_a_product_on_the_device_of_the_others():
    here = torch.ones(3, device="meta")
    zero = here.new_zeros(())
    assert inner_product((here, None), (here, here), zero).is_meta
    assert inner_product((here, None), (None, here), zero).is_meta
    one, two = torch.ones(3), torch.arange(3.0)
    assert inner_product((one, one, None), (two, None, two), torch.zeros(())) == 3


def test_runs_end_when_they_are_large_enough():
    """4 x 2^20 numbers, 16 MiB of float32, by default."""
    sizes = [3, 4, 6, 1, 9, 2, 1]
    parameters = [torch.empty(size) for size in sizes]
    runs = [[len(p) for p in run] for run in parameter_runs(parameters, scalars=7)]
    assert runs == [[3, 4], [6, 1], [9], [2, 1]]
    first = [torch.empty(6), torch.empty(1), torch.empty(1)]
    assert [len(run) for run in parameter_runs(first, scalars=7)] == [2, 1]
    assert list(parameter_runs([])) == []
    large = [torch.empty(1 << 21, device="meta") for _ in range(5)]
    assert [len(run) for run in parameter_runs(large)] == [2, 2, 1]


class Large(Architecture):
    """Shared parameters that take no memory, one of them frozen."""

    def __init__(self, scalars, batched):
        super().__init__()
        self.batched_backward = batched
        self.weight = nn.Parameter(torch.empty(scalars, device="meta"))
        frozen = torch.empty(1 << 32, device="meta")
        self.frozen = nn.Parameter(frozen, requires_grad=False)

    def shared_parameters(self):
        return [self.weight, self.frozen]

    def task_parameters(self, task):
        return []


@pytest.mark.parametrize(
    ("scalars", "batched", "device", "chosen"),
    [
        (1 << 28, True, CPU, "batched"),  # exactly 4 GiB for four tasks
        ((1 << 28) + 1, True, CPU, "streamed"),
        (1 << 28, False, CPU, "loop"),
        (10, True, CUDA, "loop"),
        (10, False, CUDA, "loop"),
    ],
)
def test_auto_chooses_by_the_size_of_the_jacobian_the_network_and_the_device(
    scalars, batched, device, chosen
):
    assert choose_backend("auto", Large(scalars, batched), 4, device) == chosen
    assert choose_backend("streamed", Large(scalars, batched), 4, device) == "streamed"
    assert choose_backend("loop", Large(scalars, batched), 4, device) == "loop"
    assert choose_backend("auto", Large(1000, batched), 4, device, max_memory=1e-6) == "streamed"


def test_auto_takes_compiled_backward_passes_one_after_the_other():
    assert choose_backend("auto", Large(10, True), 4, CPU, compiled=True) == "loop"
