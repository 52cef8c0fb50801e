"""Combined gradients that are too long, of one network and of one for each task."""

from functools import partial

import pytest
import torch
from torch import nn

from mtl_bench.algorithms.base import Component
from mtl_bench.gradients import StackedGradients, TaskGradients
from mtl_bench.methods import LS, STL
from mtl_bench.training.update import Update

LONGEST = 2.0
SCALES = (0.05, 1.0, 100.0)
"""Of the tasks' losses; the first one's gradient is shorter than the limit."""


class Rows(nn.Module):
    """Twin networks of three tasks side by side, with a weight (E, T, I, O) and a bias."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(2, 3, 2, 2))
        self.bias = nn.Parameter(torch.randn(2, 3, 1, 2))

    def gradients(self, data):
        outputs = self.weight.square().sum(dim=2) + self.bias.square().sum(dim=2)
        losses_T = torch.tensor(SCALES) * outputs.sum(dim=(0, 2))
        return StackedGradients(losses_T, [], [self.weight, self.bias])


class Layers(nn.Module):
    """Three layers that share nothing, each with an optimiser of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(3, 2) for _ in SCALES)

    def gradients(self, data):
        pairs = zip(SCALES, self.layers, strict=True)
        losses = [s * layer(torch.ones(3)).square().sum() for s, layer in pairs]
        return TaskGradients(losses, [], [[*layer.parameters()] for layer in self.layers])


def moved(component):
    """Return what a step of gradient descent subtracts from the parameters."""
    before = [p.detach().clone() for p in component.parameters]
    Update("abc")(component, None)
    return [b - p.detach() for b, p in zip(before, component.parameters, strict=True)]


def component_of(module, method, groups, clip_norm, stacked=False):
    optimizers = [torch.optim.SGD(group, lr=1.0) for group in groups]
    return Component("", module, module.gradients, method, optimizers, clip_norm, stacked=stacked)


def rows_component(clip_norm):
    module = Rows()
    return component_of(module, STL(3), [module.parameters()], clip_norm, stacked=True)


def layers_component(method, clip_norm):
    module = Layers()
    groups = [layer.parameters() for layer in module.layers]
    return component_of(module, method(3), groups, clip_norm)


def clipped(vector):
    """Return a network's gradient as torch clips that of a network alone."""
    alone = nn.Parameter(torch.zeros_like(vector))
    alone.grad = vector.clone()
    nn.utils.clip_grad_norm_([alone], LONGEST)
    return alone.grad


def by_row(parts):
    return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1)


def by_layer(parts):
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return torch.stack([torch.cat([weight.flatten(), bias]) for weight, bias in pairs])


@pytest.mark.parametrize(
    ("make", "apart"), [(rows_component, by_row), (partial(layers_component, STL), by_layer)]
)
def test_networks_of_the_tasks_own_are_clipped_one_by_one(make, apart):
    free_T, found_T = apart(moved(make(None))), apart(moved(make(LONGEST)))
    norms = free_T.norm(dim=1)
    assert norms[0] < LONGEST < norms[1:].min()
    torch.testing.assert_close(found_T, torch.stack([*map(clipped, free_T)]))
    assert torch.equal(found_T[0], free_T[0])


def test_one_network_of_all_tasks_is_clipped_as_a_whole_whatever_its_optimisers():
    free = by_layer(moved(layers_component(LS, None))).flatten()
    found = by_layer(moved(layers_component(LS, LONGEST))).flatten()
    torch.testing.assert_close(found, clipped(free))
