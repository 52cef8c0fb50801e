"""The multi-task curvature along an update, as a diagnostic that leaves the training as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_bench.algorithms.base import Component
from mtl_bench.seeding import generator_states, set_generator_states


class CurvatureProbe:
    """H = 2 [L(θ') - L(θ) - ∇L(θ)ᵀ (θ' - θ)] of one update, from θ to θ'.

    Yu et al., Gradient Surgery for Multi-Task Learning, 2020, section 5.3; L is the sum of the
    losses of the tasks that take part, and θ all parameters of the component. Both losses are of
    the same data and the same random numbers, those of the update. They are computed anew by a copy
    of the network in float64, since the difference of two losses in float32 is mostly rounding:
    one forward and backward pass, and one more forward pass. The network itself, the method, the
    optimisers and the generators take no note.

    Args:
        component: about to be updated.
        data: of the update.
    """

    def __init__(self, component: Component, data: Any) -> None:  # noqa: ANN401 - the algorithm's own
        self.component, self.data = component, doubled(data)
        self.network = copy.deepcopy(component.module).double()
        self.device = component.parameters[0].device
        self.generators = generator_states(self.device)

    def measure(self, tasks: Sequence[int]) -> float:
        """Return H after the update.

        Args:
            tasks: numbers of those that took part in it.
        """
        present = generator_states(self.device)
        old = [p for p in self.network.parameters() if p.requires_grad]
        new = [p for p in self.component.module.parameters() if p.requires_grad]
        try:
            before = self._loss(tasks)
            gradients = torch.autograd.grad(before, old, allow_unused=True)
            with torch.no_grad():
                slope = torch.zeros_like(before)
                for was, now, gradient in zip(old, new, gradients, strict=True):
                    if gradient is not None:
                        slope += (gradient * (now - was)).sum()
                    was.copy_(now)
                after = self._loss(tasks)
            return 2 * (after - before.detach() - slope).item()
        finally:
            set_generator_states(present, self.device)

    def _loss(self, tasks: Sequence[int]) -> Tensor:
        set_generator_states(self.generators, self.device)
        losses = self.component.gradients.task_losses(self.network, self.data)
        return torch.stack([losses[t] for t in tasks]).sum()


def doubled(value: Any) -> Any:  # noqa: ANN401 - any data of an update
    """Return data with float64 in place of every other real number within.

    Looks into lists, tuples, mappings, and the attributes of other objects.
    """
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: doubled(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(doubled, value))
    if isinstance(value, list | tuple):
        return type(value)(map(doubled, value))
    if not hasattr(value, "__dict__"):
        return value
    twin = copy.copy(value)
    for name, part in vars(value).items():
        object.__setattr__(twin, name, doubled(part))  # batches may be frozen
    return twin
