"""Multi-layer perceptrons of several tasks.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape
from mtl_bench.values import PositiveInt


class MLP(ControlNetwork):
    """Hidden ReLU layers and a linear one; the tasks share all of them, or all but the last.

    Weights begin uniform within ±sqrt(6 / I) (He) or ±sqrt(6 / (I + O)) (Xavier), biases at zero.
    With ``he`` the last layer begins within the shape's bound, as in metaworld-algorithms, so that
    the first policy is wide and the first values are near zero.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        heads: whether each task has a last layer of its own.
        hidden: units of the hidden layers.
        task_id: whether a one-hot vector of the task follows the inputs.
        initialization: of the weights.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        heads: bool,
        hidden: Sequence[PositiveInt] = (400, 400, 400),
        task_id: bool = True,
        initialization: Literal["he", "xavier"] = "he",
    ) -> None:
        super().__init__()
        appended = len(tasks) if task_id and not shape.separate else 0
        sizes = [shape.inputs + appended, *hidden, shape.outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            last = layer == len(hidden)
            own = shape.separate or (heads and last)
            rows = (shape.members, len(tasks)) if own else (shape.members,)
            bound = math.sqrt(6 / (inputs + (outputs if initialization == "xavier" else 0)))
            if last and initialization == "he":
                bound = shape.output_bound
            weight = torch.empty(*rows, inputs, outputs).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(*rows, 1, outputs)))
        self.members = shape.members
        self.task_ids_TT: Tensor | None
        self.register_buffer("task_ids_TT", torch.eye(len(tasks)) if appended else None, False)

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        if self.task_ids_TT is not None:
            ids_TBT = self.task_ids_TT[:, None].expand(-1, inputs_TBI.shape[1], -1)
            inputs_TBI = torch.cat((inputs_TBI, ids_TBT), dim=2)
        values = inputs_TBI.expand(self.members, *inputs_TBI.shape)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = affine(values.relu() if layer else values, weight, bias)
        return values

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Return those without a dimension T."""
        return {name: p for name, p in self.named_parameters() if p.dim() == 3}

    def stacked_parameters(self) -> dict[str, nn.Parameter]:
        """Return those with a dimension T."""
        return {name: p for name, p in self.named_parameters() if p.dim() == 4}


def affine(inputs_ETBI: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return inputs times weight plus bias, (E, T, B, O), as one batched product.

    Args:
        inputs_ETBI: what goes in.
        weight: (E, I, O) for all tasks, or (E, T, I, O).
        bias: (E, 1, O) or (E, T, 1, O).
    """
    members, tasks, samples, inputs = inputs_ETBI.shape
    if weight.dim() == 4:
        weight, bias = weight.flatten(0, 1), bias.flatten(0, 1)
    rows = inputs_ETBI.reshape(len(weight), -1, inputs)
    return torch.baddbmm(bias, rows, weight).view(members, tasks, samples, -1)
