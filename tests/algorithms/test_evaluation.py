from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_bench.algorithms.supervised.evaluation import MeanLoss, evaluate
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import DataError, TrainingError
from mtl_bench.metrics import DisparityError, MeanAbsoluteError, SegmentationMetrics
from mtl_bench.tasks import Metric, Task

TASKS = (
    Task("near", "Near", torch.nn.functional.l1_loss, (Metric("mae"),), MeanAbsoluteError),
    Task("far", "Far", torch.nn.functional.mse_loss, (Metric("disparity_mse"),), DisparityError),
)


class Echo(Architecture):
    """Predicts its input for every task."""

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return {task.name: batch.images_BCHW for task in TASKS}


class Norm(Architecture):
    """Predicts its normalised input for every task and remembers in which modes it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)
        self.modes: list[bool] = []

    def forward(self, batch: Any) -> dict[str, Tensor]:
        self.modes.append(self.training)
        return dict.fromkeys(("near", "far"), self.norm(batch.images_BCHW))


def batch(image: float, **targets: float) -> ImageBatch:
    return ImageBatch(
        torch.full((1, 1, 2, 2), image),
        {name: torch.full((1, 1, 2, 2), value) for name, value in targets.items()},
    )


def metrics_of(*batches: ImageBatch) -> dict[str, dict[str, float]]:
    return evaluate(Echo(), batches, TASKS, torch.device("cpu"))


def test_batch_without_a_tasks_targets_is_left_out_for_that_task() -> None:
    found = metrics_of(batch(1, near=4, far=2), batch(7, near=6), batch(5, far=2))
    assert found == {"near": {"mae": 2.0}, "far": {"disparity_mse": 5.0}}


def test_targets_are_copied_to_the_device_once() -> None:
    copied = []

    class Watched(torch.Tensor):
        def to(self, *words: Any, **options: Any) -> Tensor:
            copied.append(words)
            return super().to(*words, **options)

    given = batch(1, near=4, far=2)
    watched = {name: target.as_subclass(Watched) for name, target in given.targets.items()}
    metrics_of(ImageBatch(given.images_BCHW, watched))
    assert copied == [(torch.device("cpu"),)] * 2


def test_task_without_any_targets_is_named() -> None:
    with pytest.raises(DataError, match=r"^task far: no target of the evaluated set is valid"):
        metrics_of(batch(1, near=4))


def test_task_without_a_valid_pixel_is_named() -> None:
    with pytest.raises(DataError, match=r"^task far: "):
        metrics_of(batch(1, near=4, far=0))


def test_metric_that_is_not_finite_is_named() -> None:
    with pytest.raises(TrainingError, match=r"^task near: mae of the evaluation is nan"):
        metrics_of(batch(float("nan"), near=4), batch(1, far=2))


@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
def test_segmentation_scores_that_are_not_finite_are_named(junk: float) -> None:
    accumulator = partial(SegmentationMetrics, 2)
    task = Task("near", "Near", torch.nn.functional.nll_loss, (Metric("miou"),), accumulator)
    scores = torch.full((1, 2, 1, 3), junk)
    broken = ImageBatch(scores, {"near": torch.zeros(1, 1, 3, dtype=torch.int64)})
    where = "the test split after epoch 7"
    with pytest.raises(TrainingError, match=f"^task near: miou of {where} is nan"):
        evaluate(Echo(), [broken], [task], torch.device("cpu"), where)


def test_a_metric_that_the_accumulator_does_not_return_is_named() -> None:
    task = replace(TASKS[0], metrics=(Metric("mae"), Metric("r2")))
    with pytest.raises(DataError, match=r"^task near: its accumulator returns no r2"):
        evaluate(Echo(), [batch(1, near=4)], [task], torch.device("cpu"))


def test_the_mean_loss_counts_samples_and_only_labelled_ones() -> None:
    two = ImageBatch(torch.ones(2, 1, 2, 2), {"near": torch.full((2, 1, 2, 2), 4.0)})
    losses = {"near": MeanLoss(TASKS[0])}
    batches = [two, batch(1.0, near=2), batch(1.0, far=9), batch(1.0, far=3)]
    evaluate(Echo(), batches, TASKS, torch.device("cpu"), losses=losses)
    assert losses["near"].compute() == {"loss": pytest.approx((2 * 3 + 1 * 1) / 3)}


def test_batches_without_a_valid_target_do_not_count_in_the_mean_loss() -> None:
    task = replace(TASKS[0], valid=lambda target: target != 0)
    loss = MeanLoss(task)
    batches = [batch(1.0, near=2), batch(1.0, near=0), batch(1.0, near=4)]
    evaluate(Echo(), batches, [task], torch.device("cpu"), losses={"near": loss})
    assert loss.compute() == {"loss": pytest.approx((1 + 3) / 2)}
    none = MeanLoss(task)
    with pytest.raises(DataError, match=r"^task near: no target of the evaluated set is valid"):
        evaluate(Echo(), batches[1:2], [task], torch.device("cpu"), losses={"near": none})


def test_a_loss_that_is_not_finite_is_named() -> None:
    task = replace(TASKS[0], loss=lambda prediction, target: prediction.sum() / 0)
    losses = {"near": MeanLoss(task)}
    with pytest.raises(TrainingError, match=r"^task near: loss of the evaluation is inf"):
        evaluate(Echo(), [batch(1, near=4, far=2)], TASKS, torch.device("cpu"), losses=losses)


def test_batch_norms_use_their_running_statistics_and_keep_them() -> None:
    network = Norm().train()
    network.norm.running_mean.fill_(2.0)
    network.norm.running_var.fill_(4.0)
    batches = (batch(6.0, near=3, far=2), batch(8.0, near=3, far=2))  # normalised: 2 and 3
    found = evaluate(network, batches, TASKS, torch.device("cpu"))
    assert network.modes == [False, False]
    assert found["near"]["mae"] == pytest.approx((1 + 0) / 2, abs=1e-5)
    assert found["far"]["disparity_mse"] == pytest.approx((0 + 1) / 2, abs=1e-4)
    assert network.norm.running_mean.item() == 2
    assert network.norm.running_var.item() == 4
    assert network.norm.num_batches_tracked == 0


def test_the_mean_loss_is_over_valid_targets_however_they_are_split_into_batches():
    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target)[~target.isnan()].abs().mean()

    task = replace(TASKS[0], loss=loss, valid=lambda target: ~target.isnan())
    target = torch.tensor([1.0, torch.nan, 3.0, torch.nan, torch.nan, 5.0])
    mean = MeanLoss(task)
    for part in target.split([1, 2, 2, 1]):  # the third has none
        mean.update(torch.zeros(len(part)), part)
    assert mean.compute() == {"loss": 3.0}
