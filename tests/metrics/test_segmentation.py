from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mtl_bench.metrics import SegmentationMetrics


def scores(labels: list[int], classes: int) -> Tensor:
    """Scores (1, classes, 1, N) that are largest at the labels."""
    return functional.one_hot(torch.tensor([[labels]]), classes).movedim(-1, 1).float()


def measure(truth: list[int], guess: list[int], classes: int) -> dict[str, float]:
    metric = SegmentationMetrics(classes)
    metric.update(scores(guess, classes), torch.tensor([[truth]]))
    return metric.compute()


def test_by_hand() -> None:
    # class 0: 2 of 3, class 1: 1 of 3, class 2: 1 of 2; 4 of 6 pixels are right
    found = measure([0, 0, 1, 1, 2, 2, -1], [0, 0, 0, 1, 1, 2, 0], 3)
    assert found == pytest.approx({"miou": 100 * (2 / 3 + 1 / 3 + 1 / 2) / 3, "pixacc": 400 / 6})


def test_class_that_occurs_nowhere_takes_no_part() -> None:
    assert measure([0, 0, 1], [0, 1, 1], 2) == measure([0, 0, 1], [0, 1, 1], 19)


def test_class_that_is_predicted_but_never_true_counts_as_zero() -> None:
    assert measure([0, 0], [0, 2], 3) == {"miou": 25.0, "pixacc": 50.0}


def test_prediction_on_void_pixels_does_not_make_a_class_occur() -> None:
    assert measure([0, 250, -1], [0, 1, 2], 3) == {"miou": 100.0, "pixacc": 100.0}


def test_one_matrix_for_the_whole_set_rather_than_a_mean_of_batches() -> None:
    metric = SegmentationMetrics(2)
    for truth, guess in (([0, 0, 0, 0], [0, 0, 0, 1]), ([1], [1])):
        metric.update(scores(guess, 2), torch.tensor([[truth]]))
    assert metric.compute() == pytest.approx({"miou": 100 * (3 / 4 + 1 / 2) / 2, "pixacc": 80.0})


def test_counts_stay_exact_beyond_float32() -> None:
    metric = SegmentationMetrics(2)
    metric.counts = torch.tensor([2**24, 0, 0, 0])
    metric.update(scores([1], 2), torch.tensor([[[0]]]))
    assert metric.compute()["pixacc"] == 100 * 2**24 / (2**24 + 1)


def test_returns_what_is_reported() -> None:
    metric = SegmentationMetrics(2, reported=("miou",))
    metric.update(scores([0, 1], 2), torch.tensor([[[0, 1]]]))
    assert metric.compute() == {"miou": 100.0}


@pytest.mark.parametrize("junk", [math.nan, math.inf])
def test_scores_without_a_largest_one_are_no_class(junk: float) -> None:
    """A broken network used to predict class 0 everywhere, which may be a fair guess."""
    metric = SegmentationMetrics(3)
    broken = scores([0, 0, 1], 3)
    broken[..., 2] = junk
    metric.update(broken, torch.tensor([[[0, 0, 0]]]))
    assert all(math.isnan(value) for value in metric.compute().values())


def test_a_class_that_is_ruled_out_has_a_score_of_minus_infinity() -> None:
    metric = SegmentationMetrics(2)
    ruled_out = scores([0, 1], 2)
    ruled_out[ruled_out == 0] = -math.inf
    metric.update(ruled_out, torch.tensor([[[0, 1]]]))
    assert metric.compute() == {"miou": 100.0, "pixacc": 100.0}
