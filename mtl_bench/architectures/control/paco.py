"""PaCo: the parameters of every task are a combination of K sets that all tasks share.

Legend of shape suffixes: E members of an ensemble, T tasks, K parameter sets, B samples of a task,
I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape, TaskIds
from mtl_bench.architectures.control.layers import Initialization, affine, uniform_weights
from mtl_bench.values import PositiveInt


class PaCo(ControlNetwork):
    """Parameter-compositional networks: θ_t = Φ w_t = Σ_k w_tk φ_k.

    Sun, Zhang, Xu and Tomizuka, PaCo: Parameter-Compositional Multi-Task Reinforcement Learning,
    2022. A task has nothing of its own but its row w_t of the compositions (T, K). Policy and
    critics have parameter sets of their own and by default share the rows, which the critics'
    update moves first and the policy's then; the paper's code makes one step of the summed losses.
    Observations carry no task id.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        sets: K.
        hidden: units of the hidden ReLU layers.
        composed: ``all`` layers, the ``output`` alone, or ``none``: a plain network that sees the
            task's one-hot vector, which the paper's actor-only variant has for critics.
        critics: the same of the critics; null for ``composed``.
        identical_sets: whether the K sets begin equal, so that the rows alone tell tasks apart, as
            in the paper's code.
        compositions: how rows begin: ``normal`` numbers, or ``one_hot``, task t with set t mod K.
        normalize: whether rows are divided by their length when they are used.
        share_compositions: whether the policy has the critics' rows.
        initialization: of the sets, see ``uniform_weights``.
    """

    compositions: nn.Parameter

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        sets: PositiveInt = 5,
        hidden: Sequence[PositiveInt] = (400, 400, 400),
        composed: Literal["all", "output", "none"] = "all",
        critics: Literal["all", "output", "none"] | None = None,
        identical_sets: bool = True,
        compositions: Literal["normal", "one_hot"] = "normal",
        normalize: bool = False,
        share_compositions: bool = True,
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        kind = composed if shape.members == 1 or critics is None else critics
        self.members, self.normalize = shape.members, normalize
        self.task_ids = TaskIds(len(tasks) if kind == "none" else 0)
        sizes = [shape.inputs + self.task_ids.size, *hidden, shape.outputs]
        composed_layers = {"all": len(hidden) + 1, "output": 1, "none": 0}[kind]
        self.first_composed = len(hidden) + 1 - composed_layers
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            rows = (shape.members,) if layer < self.first_composed else (shape.members, sets)
            bound = shape.output_bound if layer == len(hidden) and initialization == "he" else None
            weight = uniform_weights(rows, inputs, outputs, initialization, bound)
            if identical_sets and len(rows) == 2:
                weight = weight[:, :1].repeat(1, sets, 1, 1)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(*rows, 1, outputs)))
        self.composes = composed_layers > 0
        shared = shape.critics
        if not self.composes:
            return
        if share_compositions and isinstance(shared, PaCo) and shared.composes:
            self.compositions = shared.compositions
        elif compositions == "normal":
            self.compositions = nn.Parameter(torch.randn(1, len(tasks), sets))
        else:
            rows_TK = torch.eye(sets)[torch.arange(len(tasks)) % sets]
            self.compositions = nn.Parameter(rows_TK[None])

    def rows(self) -> Tensor:
        """Return what the sets are multiplied by, (1, T, K)."""
        if self.normalize:
            return nn.functional.normalize(self.compositions, dim=2)
        return self.compositions

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        values_TBI = self.task_ids(inputs_TBI)
        values = values_TBI.expand(self.members, *values_TBI.shape)
        for layer, pair in enumerate(zip(self.weights, self.biases, strict=True)):
            weight, bias = pair
            if layer >= self.first_composed:
                weight, bias = self._compose(weight), self._compose(bias)
            values = affine(values.relu() if layer else values, weight, bias)
        return values

    def with_rows(self, rows_SK: Tensor) -> PaCo:
        """Return a network of S tasks that are made of the same sets by other rows, a copy."""
        other = deepcopy(self)
        other.compositions = nn.Parameter(rows_SK[None].to(self.compositions))
        return other

    def _compose(self, sets: Tensor) -> Tensor:
        """Return (E, T, I, O) from (E, K, I, O), or from (E, T, K, I, O)."""
        rows_ETK = self.rows().expand(self.members, -1, -1)
        if sets.dim() == 4:
            return torch.einsum("etk,ekio->etio", rows_ETK, sets)
        return torch.einsum("etk,etkio->etio", rows_ETK, sets)

    def task_specific(self, name: str) -> bool:
        """Tell whether it is the compositions."""
        return name == "compositions"

    @torch.no_grad()
    def reset_tasks(self, reset_T: Tensor, shares_TT: Tensor) -> None:
        """Set the rows of some tasks to combinations of the others' (paper, equation 8).

        Args:
            reset_T: which.
            shares_TT: row t has the shares of all tasks in task t's new row; those of tasks that
                are reset themselves are zero.
        """
        new_TK = shares_TT.to(self.compositions) @ self.compositions[0]
        self.compositions[0, reset_T] = new_TK[reset_T]


def rows_between(rows_T2: Tensor) -> Tensor:
    """Return a row in the middle of every arc between neighbouring tasks on the circle, (T, 2).

    Such are the sampled policies of PaCo's figure 3. The arcs are counted from the first task on,
    with the angle; a row is as long as the tasks' are on average.

    Args:
        rows_T2: of the tasks, for K = 2.

    Example:
        >>> import torch
        >>> from mtl_bench.architectures.control.paco import rows_between
        >>> rows_between(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).round(decimals=4).abs()
        tensor([[0., 2.],
                [0., 2.]])
    """
    angles_T = torch.atan2(rows_T2[:, 1], rows_T2[:, 0])
    turned_T = ((angles_T - angles_T[0]) % (2 * math.pi)).sort().values
    ends_T = torch.cat((turned_T[1:], turned_T.new_tensor([2 * math.pi])))
    middles_T = angles_T[0] + (turned_T + ends_T) / 2
    length = rows_T2.norm(dim=1).mean()
    return length * torch.stack((middles_T.cos(), middles_T.sin()), dim=1)
