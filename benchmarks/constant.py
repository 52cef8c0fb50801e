"""What the best constant prediction gets on the image data sets: any network has to beat it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.steps import CPU, render_left_out
from mtl_bench import build_dataset
from mtl_bench.algorithms.supervised.evaluation import evaluate
from mtl_bench.architectures.dense import unit_vectors
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import DataError

CLASSES = {"nyuv2": 13, "cityscapes": 19}


class Constant(nn.Module):
    """Predicts the same for every pixel: the mean of the valid labels of one training epoch.

    For a segmentation that is the classes' frequencies, of which the most frequent class wins; for
    normals it is the direction of their mean.

    Args:
        dataset: a data set with images.
    """

    def __init__(self, dataset: Any) -> None:  # noqa: ANN401 - any data set with images
        super().__init__()
        sums = {task: torch.zeros(1, dtype=torch.float64) for task in dataset.task_names}
        for batch in dataset.train_batches(1):
            for task, target in batch.targets.items():
                classes = CLASSES[dataset.name]
                sums[task] = sums[task] + _sums(target, dataset.invalid[task], classes)
        self.means = {task: (sum_C1[:-1] / sum_C1[-1]).float() for task, sum_C1 in sums.items()}
        if "normal" in self.means:
            self.means["normal"] = unit_vectors(self.means["normal"][None])[0]

    def forward(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return the constants in the shape of the targets."""
        return {
            task: self.means[task][:, None, None].expand(len(target), -1, *target.shape[-2:])
            for task, target in batch.targets.items()
        }


def _sums(target: Tensor, invalid: float, classes: int) -> Tensor:
    """Return the sum of every channel over the valid pixels, and last the number of these."""
    if target.is_floating_point():
        values_NC = target.double().movedim(1, -1).flatten(0, -2)
        values_NC = values_NC[(values_NC != invalid).any(1)]
    else:
        values_NC = functional.one_hot(target[target != invalid], classes).double()
    return torch.cat([values_NC.sum(0), torch.tensor([len(values_NC)])])


def measure(data: Path) -> dict[str, Any]:
    """Return data set -> task -> metric -> value at profile ``mini``, and what is left out and why.

    Raises:
        DataError: neither data set is there.
    """
    found, left_out = {}, {}
    for name in CLASSES:
        try:
            dataset: Any = build_dataset(name, profile="mini", data=str(data))
        except DataError as error:
            left_out[name] = str(error)
            continue
        network: Any = Constant(dataset)
        metrics = evaluate(network, dataset.evaluation_batches("test"), dataset.tasks, CPU)
        found[f"{name}, {dataset.origin['kind']}"] = metrics
    if not found:
        raise DataError("; ".join(left_out.values()))
    return {"metrics": found, "left_out": left_out}


def render(result: dict[str, Any]) -> str:
    """Return a line for every task, and one for every data set that is left out."""
    lines = [
        f"{name}: {task}: " + ", ".join(f"{metric} {value:.2f}" for metric, value in values.items())
        for name, metrics in result["metrics"].items()
        for task, values in metrics.items()
    ]
    return "\n".join([*lines, *render_left_out(result["left_out"])])
