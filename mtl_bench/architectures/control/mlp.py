"""Multi-layer perceptrons of several tasks.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mtl_bench.architectures.control.base import ControlNetwork, Shape, TaskIds
from mtl_bench.architectures.control.layers import AffineLayers, Initialization
from mtl_bench.values import PositiveInt


class MLP(ControlNetwork):
    """Hidden ReLU layers and a linear one; the tasks share all of them, or all but the last.

    Weights begin as ``uniform_weights`` has them, biases at zero. With ``he`` the last layer begins
    within the shape's bound, as in metaworld-algorithms, so that the first policy is wide and the
    first values are near zero.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        heads: whether each task has a last layer of its own.
        hidden: units of the hidden layers.
        task_id: whether a one-hot vector of the task follows the inputs.
        initialization: of the weights.
    """

    separable = True

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        heads: bool,
        hidden: Sequence[PositiveInt] = (400, 400, 400),
        task_id: bool = True,
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        self.members = shape.members
        self.task_ids = TaskIds(len(tasks) if task_id and not shape.separate else 0)
        sizes = [shape.inputs + self.task_ids.size, *hidden, shape.outputs]
        alone, own = (shape.members,), (shape.members, len(tasks))
        rows = [own if shape.separate else alone] * len(hidden)
        rows.append(own if shape.separate or heads else alone)
        bound = shape.output_bound if initialization == "he" else None
        self.layers = AffineLayers(rows, sizes, initialization, bound)

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        values_TBI = self.task_ids(inputs_TBI)
        outputs: Tensor = self.layers(values_TBI.expand(self.members, *values_TBI.shape))
        return outputs

    def task_specific(self, name: str) -> bool:
        """Tell whether a parameter has a dimension T."""
        return self.get_parameter(name).dim() == 4
