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


def gram_of(rows):
    rows_TP = torch.as_tensor(rows, dtype=torch.float64)
    return rows_TP @ rows_TP.T


ZOO = {
    "identity": torch.eye(3),
    "rank one": torch.ones(3, 3),
    "one zero row": torch.diag(torch.tensor([0.0, 1.0, 2.0])),
    "all zero": torch.zeros(3, 3),
    "opposed": gram_of([[1, 0], [-1, 0], [0, 1]]),
    "opposed alone": gram_of([[2, 0], [-2, 0]]),
    "opposed, unequal": gram_of([[3, 0], [-1, 0], [0.5, 1]]),
    "duplicates": gram_of([[1, 2, 0], [1, 2, 0], [0, 1, -4]]),
    "cancelling": gram_of([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]),
    "more tasks than parameters": gram_of([[1, 2], [-3, 1], [0, 1], [2, -2], [5, 5]]),
    "tiny": 1e-10 * gram_of([[1, 2, 0], [0, 1, 1], [3, 0, -1]]),
    "tinier": 1e-20 * torch.eye(3),
    "huge": 1e15 * gram_of([[1, 2, 0], [0, 1, 1], [3, 0, -1]]),
    "beyond float32": 1e60 * torch.eye(3, dtype=torch.float64),
    "mixed": torch.diag(torch.tensor([1e-20, 1.0, 1e30])),
    "mixed and opposed": gram_of([[1e-10, 1e-10], [-1, 0], [0, -1e15]]),
    "barely conflicting": gram_of([[1, 1e-8], [-1, 1e-8], [1, 0]]),
    "float32 noise": (gram_of([[1, 2], [2, 4.0000002], [-1, -2]]).float() * 1.1).double(),
    "single": torch.tensor([[4.0]]),
    "single zero": torch.tensor([[0.0]]),
}


def rounds(count, num_tasks, seed=0):
    """Losses and gradients as a training might show them."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        grads_TP = torch.randn(num_tasks, 40, generator=generator)
        yield torch.rand(num_tasks, generator=generator) + 0.1, grads_TP


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


def advance(method, losses_T, grads_TP):
    """Feed one round to a method and return its weights and the shared gradient it writes."""
    shared = torch.zeros(grads_TP.shape[1], requires_grad=True)
    losses = [
        loss + row @ shared - (row @ shared).detach()
        for loss, row in zip(losses_T, grads_TP, strict=True)
    ]
    info = method.step(TaskGradients(losses, [shared], [[] for _ in losses]))
    return info, shared.grad


def as_plain(state):
    """State as nested lists that compare by value."""
    if isinstance(state, torch.Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {key: as_plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [as_plain(value) for value in state]
    return state
