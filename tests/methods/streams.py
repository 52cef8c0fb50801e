"""What methods are fed with in tests."""

import functools
import importlib.util

import pytest
import torch
from torch import nn

from mtl_bench.config.build import build as build_section
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group
from mtl_bench.gradients import TaskGradients

needs_qpsolvers = pytest.mark.skipif(
    importlib.util.find_spec("qpsolvers") is None, reason="UPGrad needs qpsolvers"
)

METHODS = [
    pytest.param(name, marks=needs_qpsolvers) if name == "torchjd" else name
    for name in describe_group("method")
]

SMALL = {"taskforce": {"hidden_dim": 8, "batch_size": 4, "noise_steps": 20}}
"""Fields that make a method cheap enough for a test."""


@functools.cache
def section(name, protocol):
    overrides = ["dataset=qm9", f"method={name}", "profile=smoke", f"protocol={protocol}"]
    return compose_config(overrides)["method"]


def build(name, num_tasks, protocol="nash", seed=0, **fields):
    """Build a method as a run would, composing each configuration once."""
    fields = section(name, protocol) | SMALL.get(name, {}) | fields
    return build_section(fields, num_tasks=num_tasks, seed=seed)


class Network(nn.Module):
    """A trunk that three tasks share and a head for each."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(7, 1) for _ in range(3))
        self.to(dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
        self.inputs = torch.randn(11, 5, generator=generator).to(dtype)
        scales = torch.tensor([1.0, 3.0, 0.3])
        self.targets = (torch.randn(11, 3, generator=generator) * scales).to(dtype)

    def gradients(self):
        hidden = self.trunk(self.inputs)
        losses = [
            (head(hidden)[:, 0] - self.targets[:, t]).square().mean()
            for t, head in enumerate(self.heads)
        ]
        own = [list(head.parameters()) for head in self.heads]
        return TaskGradients(losses, list(self.trunk.parameters()), own)

    def shared_gradient(self):
        return torch.cat([p.grad.flatten() for p in self.trunk.parameters()])

    def head_gradients(self):
        return [torch.cat([p.grad.flatten() for p in head.parameters()]) for head in self.heads]


def tiny_net():
    """Return a trunk, its three heads and their losses, of very different sizes."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh())
    heads = nn.ModuleList(nn.Linear(7, 1) for _ in range(3))
    x, y = torch.randn(11, 5), torch.randn(11, 3) * torch.tensor([1.0, 30.0, 0.1])
    hidden = trunk(x)
    losses = [(head(hidden)[:, 0] - y[:, t]).square().mean() for t, head in enumerate(heads)]
    return trunk, heads, losses
