"""D-Grad(A): a matrix and a bias of the task's own behind every hidden layer.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs, N units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape, TaskIds
from mtl_bench.architectures.control.layers import AffineLayers, Initialization, affine
from mtl_bench.values import PositiveInt


class DGrad(ControlNetwork):
    """An MLP whose hidden activations x become M_t x + β_t, with M_t (N, N) and β_t of task t.

    Yu, Kumar, Gupta, Levine, Hausman and Finn, Multi-Task Reinforcement Learning without
    Interference, 2019: random matrices turn the activations of each task in another direction, so
    that the gradients of two tasks begin nearly orthogonal. The paper makes M_t and β_t with a
    network from the task's one-hot vector and says no more of it; a linear one is this table.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        hidden: units N of the hidden ReLU layers.
        task_id: whether a one-hot vector of the task follows the inputs.
        matrices: how M_t begin: ``orthogonal``, ``gaussian`` with variance 1 / N, or ``identity``
            plus such numbers times ``spread``.
        spread: for ``identity``.
        initialization: of the shared weights, see ``uniform_weights``.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        hidden: Sequence[PositiveInt] = (160, 160, 160),
        task_id: bool = True,
        matrices: Literal["orthogonal", "gaussian", "identity"] = "orthogonal",
        spread: float = 0.1,
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        self.members = shape.members
        self.task_ids = TaskIds(len(tasks) if task_id else 0)
        sizes = [shape.inputs + self.task_ids.size, *hidden, shape.outputs]
        bound = shape.output_bound if initialization == "he" else None
        self.layers = AffineLayers(
            [(shape.members,)] * (len(hidden) + 1), sizes, initialization, bound
        )
        self.matrices, self.shifts = nn.ParameterList(), nn.ParameterList()
        for units in hidden:
            rows = (shape.members, len(tasks))
            matrix = torch.randn(*rows, units, units) / math.sqrt(units)
            if matrices == "orthogonal":
                matrix = torch.linalg.qr(matrix)[0]
            elif matrices == "identity":
                matrix = torch.eye(units) + spread * matrix
            self.matrices.append(nn.Parameter(matrix))
            self.shifts.append(nn.Parameter(torch.zeros(*rows, 1, units)))

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        values_TBI = self.task_ids(inputs_TBI)
        values = values_TBI.expand(self.members, *values_TBI.shape)
        layers = self.layers
        for layer, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            values = affine(values, weight, bias)
            if layer < len(self.matrices):
                values = affine(values.relu(), self.matrices[layer], self.shifts[layer])
        return values

    def task_specific(self, name: str) -> bool:
        """Tell whether it belongs to the tables."""
        return not name.startswith("layers.")
