"""Affine layers of T tasks side by side, out of which the networks here are made.

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

Initialization = Literal["he", "xavier"]


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


def uniform_weights(
    rows: Sequence[int],
    inputs: int,
    outputs: int,
    initialization: Initialization,
    bound: float | None = None,
) -> Tensor:
    """Return weights (*rows, I, O) uniform within ±sqrt(6 / I) (He) or ±sqrt(6 / (I + O)) (Xavier).

    Args:
        rows: dimensions before I and O.
        inputs: I.
        outputs: O.
        initialization: which of both.
        bound: another bound.
    """
    if bound is None:
        bound = math.sqrt(6 / (inputs + (outputs if initialization == "xavier" else 0)))
    return torch.empty(*rows, inputs, outputs).uniform_(-bound, bound)


class AffineLayers(nn.Module):
    """Affine layers with a ReLU between them; biases begin at zero.

    Args:
        rows: for each layer the dimensions before I and O: (E,) for all tasks, (E, T) for layers
            that each task has for itself.
        sizes: numbers of units, from the inputs to the outputs.
        initialization: of the weights, see ``uniform_weights``.
        last_bound: another bound of the last layer's weights.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        sizes: Sequence[int],
        initialization: Initialization,
        last_bound: float | None = None,
    ) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            bound = last_bound if layer == len(sizes) - 2 else None
            weight = uniform_weights(rows[layer], inputs, outputs, initialization, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(*rows[layer], 1, outputs)))

    def forward(self, values_ETBI: Tensor) -> Tensor:
        """Return the outputs of the last layer, (E, T, B, O)."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values_ETBI = affine(values_ETBI.relu() if layer else values_ETBI, weight, bias)
        return values_ETBI
