"""Soft modularisation: the task routes observations through layers of modules.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, N modules of a
layer, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape
from mtl_bench.architectures.control.layers import AffineLayers, Initialization, uniform_weights
from mtl_bench.values import PositiveInt

ROUTING_BOUND = 3e-3
"""Of the first weights of the layers that make the routing, so that it begins uniform."""


class SoftModular(ControlNetwork):
    """L layers of N modules; module j reads the others' outputs of the layer before in shares.

    Yang, Xu, Wu and Wang, Multi-Task Reinforcement Learning with Soft Modularization, 2020, as its
    code has it, which differs from the paper. With f = MLP(s), h = linear(one-hot of the task)
    and e = MLP(relu(f h)), module j of layer l + 1 reads relu(Σ_i p_l[j, i] x_i) of the outputs x
    of layer l, and the output layer reads relu(Σ_j p_L[j] x_j). The rows of p_l are softmaxes of
    W_l relu(U_l [p_1 ... p_{l-1}] e), those of p_1 of W_1 relu(e). The first layer reads relu(f).

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        layers: L; the paper's shallow network has 2 layers of 2 modules with 256 units, the deep
            one 4 of 4 with 128.
        modules: N.
        units: of a module.
        base: units of the layers of f.
        gating: units of the layers of e.
        initialization: of the weights, see ``uniform_weights``.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        layers: PositiveInt = 2,
        modules: PositiveInt = 2,
        units: PositiveInt = 256,
        base: Sequence[PositiveInt] = (400, 400),
        gating: Sequence[PositiveInt] = (256, 256),
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        self.members, self.num_modules = shape.members, modules
        alone = (shape.members,)

        def dense(*sizes: int, last_bound: float | None = None) -> AffineLayers:
            return AffineLayers([alone] * (len(sizes) - 1), sizes, initialization, last_bound)

        self.base = dense(shape.inputs, *base)
        self.task_rows = nn.Parameter(
            uniform_weights((shape.members, len(tasks)), 1, base[-1], initialization, 1.0)
        )
        self.task_bias = nn.Parameter(torch.zeros(shape.members, 1, base[-1]))
        self.gating = dense(base[-1], *gating)
        flat, routed = modules * modules, gating[-1]
        widths = [flat] * (layers - 1) + [modules]
        self.routing = nn.ModuleList(
            dense(routed, width, last_bound=ROUTING_BOUND) for width in widths
        )
        self.skips = nn.ModuleList(dense(flat * n, routed) for n in range(1, layers))
        inputs = [base[-1]] + [units] * (layers - 1)
        rows = (shape.members, modules)
        self.weights = nn.ParameterList(
            uniform_weights(rows, size, units, initialization) for size in inputs
        )
        self.biases = nn.ParameterList(torch.zeros(*rows, 1, units) for _ in inputs)
        bound = shape.output_bound if initialization == "he" else None
        self.output = dense(units, shape.outputs, last_bound=bound)

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        base = self.base(inputs_TBI.expand(self.members, *inputs_TBI.shape))
        bias = self.task_bias
        task = self.task_rows + (bias[:, None] if bias.dim() == 3 else bias)
        gate = self.gating((base * task).relu())
        values = base.relu()
        found: list[Tensor] = []
        for layer, (weight, shift) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = self._run_modules(values, weight, shift)
            inner = gate if layer == 0 else self.skips[layer - 1](torch.cat(found, dim=3)) * gate
            routed = self.routing[layer](inner.relu())
            shares = routed.unflatten(3, (-1, self.num_modules)).softmax(dim=4)
            found.append(shares.flatten(3))
            values = torch.einsum("etbji,etibo->etjbo", shares, values).relu()
        outputs: Tensor = self.output(values.squeeze(2))
        return outputs

    @staticmethod
    def _run_modules(values: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        """Return what the modules of a layer make of inputs for all, or of each one's own."""
        into = "etbi" if values.dim() == 4 else "etnbi"
        of = "enio" if weight.dim() == 4 else "etnio"
        shift = shift[:, None] if shift.dim() == 4 else shift
        return torch.einsum(f"{into},{of}->etnbo", values, weight) + shift

    def task_specific(self, name: str) -> bool:
        """Tell whether it is the linear layer of the one-hot vector."""
        return name == "task_rows"
