"""Predictions of a finished run on test samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_bench.config.build import build_data
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError
from mtl_bench.inspect.recorded_run import RecordedRun


@dataclass(frozen=True)
class PredictedSample:
    """One image with what should be and what was predicted.

    Args:
        image_HW3: RGB in [0, 1].
        targets: task -> target as the data set gives it, without the batch dimension.
        predictions: task -> prediction, without the batch dimension.
    """

    image_HW3: np.ndarray
    targets: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]


@torch.inference_mode()
def predict_samples(
    record: Path, count: int, data: Path | None = None
) -> tuple[list[PredictedSample], dict[str, float], str]:
    """Return a run's predictions on test samples that are spread over the test set.

    With them come each task's value for "no label" and the kind of the data, real or procedural.

    The network is the one of the last checkpoint.

    Args:
        record: the run's folder.
        count: samples.
        data: folder of prepared data, by default the one that the run read.

    Raises:
        RecordError: no run is there, or it has no checkpoint.
        MtlBenchError: the checkpoint can't be read.
        ConfigError: its data set has no images.
    """
    run = RecordedRun(record, data=data, device="cpu")
    dataset: Any = build_data(run.config)
    if not hasattr(dataset, "to_rgb"):
        name = run.config["dataset"]["name"]
        raise ConfigError(f"{record}: dataset={name} has no images to show")
    network = run.load_network("last")
    batches: list[Any] = list(dataset.evaluation_batches("test"))
    sizes = [len(batch.images_BCHW) for batch in batches]
    starts = np.cumsum([0, *sizes])
    samples = []
    for number in np.unique(np.linspace(0, starts[-1] - 1, count).round().astype(int)):
        which = int(np.searchsorted(starts, number, side="right")) - 1
        batch: ImageBatch = batches[which]
        at = int(number - starts[which])
        predictions = network(batch)
        samples.append(
            PredictedSample(
                dataset.to_rgb(batch.images_BCHW[at]),
                {task: target[at].numpy() for task, target in batch.targets.items()},
                {task: prediction[at].numpy() for task, prediction in predictions.items()},
            )
        )
    return samples, dataset.invalid, dataset.origin["kind"]
