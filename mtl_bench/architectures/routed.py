"""A convolutional trunk whose fully connected layers are chosen by the task.

Legend of shape suffixes: B images, C channels, H rows, W columns, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mtl_bench.architectures.all_fc import connected_layers, convolutional_trunk
from mtl_bench.architectures.base import Architecture, predicted_rows
from mtl_bench.architectures.router import Router
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import NonNegative, Positive, PositiveInt


class Routed(Architecture):
    """A trunk that the tasks share, and three layers of modules that each task routes through.

    Rosenbaum et al., Routing Networks, ICLR 2018, "routing-all-fc" with weighted policy learning,
    for CIFAR-100 as twenty tasks in the sizes of the released code: the trunk of ``AllFC``, and
    twenty modules in each of three fully connected layers of 48, 48 and 5 features. An agent for
    each task chooses one module of every layer; see ``Router``. It has 204,484 parameters, as many
    as ``AllFC`` with twenty tasks.

    Any task may come to use any module, so all parameters are shared, the modules among them; one
    that no task has chosen has a zero gradient. The paper and the released code draw a route for
    every image; here a task has one for all images of an update. The reward is the negative loss,
    as in the released code; the paper's is +1 for a right and -1 for a wrong answer.

    The learning rates of the modules (SGD, 3e-3, 1e-3 from the sixth and 3e-4 from the eleventh
    epoch) and the longest gradient (40) of the released code are fields of the run, ``optimizer``,
    ``scheduler`` and ``trainer.clip_norm``. It moves the tables by SGD with 0.3 of the modules'
    rate, along a loss that is not the paper's update; the λ of that update is a choice of ours.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        modules: of every layer.
        router_learning_rate: λ of ``Router``.
        collaboration: ρ of ``Router``.
    """

    uses_all_shared: ClassVar[bool] = False

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        classes: PositiveInt = 5,
        modules: PositiveInt = 20,
        router_learning_rate: Positive = 0.3,
        collaboration: NonNegative = 0.3,
    ) -> None:
        super().__init__()
        self.numbers = {task: number for number, task in enumerate(tasks)}
        self.trunk = convolutional_trunk()
        choices = [connected_layers(classes) for _ in range(modules)]
        self.layers = nn.ModuleList(map(nn.ModuleList, zip(*choices, strict=True)))
        self.router = Router(
            len(tasks), len(self.layers), modules, router_learning_rate, collaboration
        )

    def forward(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> scores, (B, classes), of images (B, 3, 32, 32)."""
        features = self.trunk(batch.images_BCHW)
        predictions = {}
        for task, rows in predicted_rows(batch, list(self.numbers)).items():
            x_BF = features[rows]
            chosen = self.router.modules_of(self.numbers[task])
            for layer, module in zip(self.layers, chosen, strict=True):
                assert isinstance(layer, nn.ModuleList)
                x_BF = layer[module](x_BF)
            predictions[task] = x_BF
        return predictions

    def after_update(self, losses: Mapping[str, float]) -> None:
        """Let the agents learn from the losses of an update."""
        self.router.learn([self.numbers[task] for task in losses], list(losses.values()))

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return every parameter."""
        return list(self.parameters())

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return nothing."""
        return []
