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

    A method combines the gradients of the trunk alone, as PCGrad does in its table 2. The modules,
    any of which several tasks may choose, get the sum of theirs; the gradient of one that no task
    has chosen is zero. The paper and the released code draw a route for every image; here a task
    has one for all images of an update. The reward is the negative loss, as in the released code;
    the paper's is +1 for a right and -1 for a wrong answer.

    The learning rates of the modules (SGD, 3e-3, 1e-3 from the sixth and 3e-4 from the eleventh
    epoch) and the longest gradient (40) of the released code are fields of the run, ``optimizer``,
    ``scheduler`` and ``trainer.clip_norm``. Of its code we leave out what can't be meant: its
    optimisers are empty in all epochs but those in which a rate is set, it clips a list that has
    every module twice, and its loss for the tables lowers the probability of a module that did
    better than the average, since it scales logarithms of probabilities as if these were
    probabilities. What stays is its rate, 0.3 of the modules', here of WPL itself and constant:
    ``profile=paper`` has it. Trainings of some hundred updates need a larger one.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        modules: of every layer.
        router_learning_rate: λ of ``Router``.
        collaboration: ρ of ``Router``.
    """

    has_representation: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        classes: PositiveInt = 5,
        modules: PositiveInt = 20,
        router_learning_rate: Positive = 9e-4,
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

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return the trunk's features, (B, 128), of images (B, 3, 32, 32)."""
        features_BF: Tensor = self.trunk(batch.images_BCHW)
        return features_BF

    def predict(self, representation: Tensor, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> scores, (B, classes)."""
        predictions = {}
        for task, rows in predicted_rows(batch, list(self.numbers)).items():
            x_BF = representation[rows]
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
        """Return the parameters of the trunk."""
        return list(self.trunk.parameters())

    def summed_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the modules."""
        return list(self.layers.parameters())

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return nothing."""
        return []
