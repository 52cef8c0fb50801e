"""T small networks of one shape, evaluated and differentiated as one, and what trains them.

Legend of shape suffixes: T networks, B transitions, I inputs, N of them normalised, H hidden units,
M outputs, P parameters of one network.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Layers(NamedTuple):
    """Parameters of T networks, or gradients of the same shapes."""

    weight1_TIH: Tensor
    bias1_T1H: Tensor
    weight2_THH: Tensor
    bias2_T1H: Tensor
    weight3_THM: Tensor
    bias3_T1M: Tensor


class Normalized(NamedTuple):
    """Inputs with mean 0 and variance 1, and the inverse of the deviations that they had."""

    values_TBN: Tensor
    inverse: Tensor


class ForwardCache(NamedTuple):
    """A forward pass: its outputs, and what their gradients need."""

    layers: Layers
    inputs_TBI: Tensor
    hidden1_TBH: Tensor
    hidden2_TBH: Tensor
    outputs_TBM: Tensor
    normalized: Normalized | None = None

    @property
    def outputs_TB(self) -> Tensor:
        """The outputs of networks that have one."""
        return self.outputs_TBM.squeeze(2)


class MLPEnsemble(nn.Module):
    """T independent networks of two hidden ReLU layers, with stacked weights.

    Network t computes W3 relu(W2 relu(W1 x_t + b1) + b2) + b3 with its own slices of the stacks;
    what one network computes or learns never depends on another. All parameters are one tensor,
    one row per network, so that clipping, Adam and soft updates are single operations. Gradients
    are written out by hand: for matrices this small the bookkeeping of autograd costs about as
    much as the products themselves.

    Args:
        num_networks: T.
        input_dim: I.
        hidden_dim: H.
        generator: draws the parameters, each layer of each network from U(-b, b) with
            b = 1 / sqrt(inputs), as torch.nn.Linear does.
        output_bound: b of the output layer, if not that.
        output_dim: M.
    """

    def __init__(
        self,
        num_networks: int,
        input_dim: int,
        hidden_dim: int,
        generator: torch.Generator,
        output_bound: float | None = None,
        output_dim: int = 1,
    ) -> None:
        super().__init__()
        layers = [(input_dim, hidden_dim), (hidden_dim, hidden_dim), (hidden_dim, output_dim)]
        bounds = [inputs**-0.5 for inputs, _ in layers for _ in ("weight", "bias")]
        if output_bound is not None:
            bounds[-2:] = [output_bound] * 2
        shapes = [shape for i, o in layers for shape in ((i, o), (1, o))]
        self._shapes = [(num_networks, *shape) for shape in shapes]
        self._sizes = [rows * columns for rows, columns in shapes]
        flat_TP = torch.empty(num_networks, sum(self._sizes), dtype=torch.float32)
        for part, bound in zip(flat_TP.split(self._sizes, dim=1), bounds, strict=True):
            part.uniform_(-bound, bound, generator=generator)
        self.flat_TP = nn.Parameter(flat_TP, requires_grad=False)

    def view(self, flat_TP: Tensor) -> Layers:
        """Return the parts of (T, P) parameters or gradients as views."""
        parts = flat_TP[:, : sum(self._sizes)].split(self._sizes, dim=1)
        return Layers(*(part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)))

    def forward(self, inputs_TBI: Tensor) -> ForwardCache:
        """Evaluate every network on its own inputs."""
        layers = self.view(self.flat_TP)
        sums_TBH = torch.baddbmm(layers.bias1_T1H, inputs_TBI, layers.weight1_TIH)
        return finish(layers, inputs_TBI, sums_TBH)

    def parameter_gradients(self, run: ForwardCache, outputs_TBM: Tensor) -> Tensor:
        """Return the (T, P) gradients of the parameters.

        Args:
            run: a forward pass of these networks.
            outputs_TBM: gradient of its outputs.
        """
        sums1_TBH, sums2_TBH = sum_gradients(run, outputs_TBM)
        gradient_TP = torch.empty_like(self.flat_TP)
        parts = self.view(gradient_TP)
        for weight, bias, inputs, sums in (
            (parts.weight1_TIH, parts.bias1_T1H, run.inputs_TBI, sums1_TBH),
            (parts.weight2_THH, parts.bias2_T1H, run.hidden1_TBH, sums2_TBH),
            (parts.weight3_THM, parts.bias3_T1M, run.hidden2_TBH, outputs_TBM),
        ):
            torch.bmm(inputs.mT, sums, out=weight)
            torch.sum(sums, dim=1, keepdim=True, out=bias)
        return gradient_TP

    def input_gradients(self, run: ForwardCache, outputs_TBM: Tensor) -> Tensor:
        """Return the (T, B, I) gradients of the inputs; arguments as ``parameter_gradients``."""
        sums1_TBH, _ = sum_gradients(run, outputs_TBM)
        return torch.bmm(sums1_TBH, run.layers.weight1_TIH.mT)


def finish(layers: Layers, inputs_TBI: Tensor, sums_TBH: Tensor) -> ForwardCache:
    """Evaluate what follows the first layer's sums, which are overwritten."""
    hidden1_TBH = sums_TBH.relu_()
    hidden2_TBH = torch.baddbmm(layers.bias2_T1H, hidden1_TBH, layers.weight2_THH).relu_()
    outputs_TBM = torch.baddbmm(layers.bias3_T1M, hidden2_TBH, layers.weight3_THM)
    return ForwardCache(layers, inputs_TBI, hidden1_TBH, hidden2_TBH, outputs_TBM)


def sum_gradients(run: ForwardCache, outputs_TBM: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (T, B, H) gradients of the sums of the first and of the second hidden layer.

    Args:
        run: a forward pass.
        outputs_TBM: gradient of its outputs.
    """
    through_relu = torch.ops.aten.threshold_backward  # zero where the second argument is not above
    sums2_TBH = through_relu(torch.bmm(outputs_TBM, run.layers.weight3_THM.mT), run.hidden2_TBH, 0)
    sums1_TBH = through_relu(torch.bmm(sums2_TBH, run.layers.weight2_THH.mT), run.hidden1_TBH, 0)
    return sums1_TBH, sums2_TBH


class Learner(nn.Module):
    """A module whose state includes that of its optimisers."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, torch.optim.Adam] = {}

    def add_adam(self, name: str, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        """Make the Adam of some parameters; the state keeps it under the name."""
        self.optimizers[name] = torch.optim.Adam(parameters, lr=learning_rate, fused=True)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the states of all optimisers."""
        return {f"{name}_optimizer": o.state_dict() for name, o in self.optimizers.items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        state = deepcopy(state)  # the optimisers would go on writing into the loaded tensors
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[f"{name}_optimizer"])
