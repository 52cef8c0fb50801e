from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_bench.metrics import AngleErrors, Average
from mtl_bench.metrics.normals import THRESHOLDS, angular_errors


def at_angles(*degrees: float) -> tuple[Tensor, Tensor]:
    """Predictions (1, 3, 1, N) float64 in the plane, at these angles to the x-axis, the target."""
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    prediction = torch.stack([radians.cos(), radians.sin(), torch.zeros_like(radians)])
    target = torch.tensor([1.0, 0, 0], dtype=torch.float64)[:, None].expand_as(prediction)
    return prediction[None, :, None], target[None, :, None].clone()


def test_by_hand_over_pixels() -> None:
    metric = AngleErrors("pixel")
    metric.update(*at_angles(0, 10, 20))
    metric.update(*at_angles(40))
    found = metric.compute()
    assert found.pop("angle_median") == pytest.approx(15, abs=0.5 / 1024)
    assert found == pytest.approx(
        {"angle_mean": 17.5, "within_11_25": 50.0, "within_22_5": 75.0, "within_30": 75.0}
    )


def test_by_hand_as_the_mean_of_batches() -> None:
    metric = AngleErrors("batch")
    metric.update(*at_angles(0, 10, 20, 50))
    metric.update(*at_angles(40))
    assert metric.compute() == pytest.approx(
        {
            "angle_mean": 30.0,
            "angle_median": 27.5,
            "within_11_25": 25.0,
            "within_22_5": 37.5,
            "within_30": 37.5,
        }
    )


@pytest.mark.parametrize("average", ["batch", "pixel"])
@pytest.mark.parametrize("name", THRESHOLDS)
def test_an_angle_at_the_threshold_is_not_within_it(
    average: Average, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(THRESHOLDS, name, 90.0)  # the angle that a dot product hits to the bit
    target = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    prediction = torch.tensor([[0.0, 1, 0], [1e-6, 1, 0]]).T.reshape(1, 3, 1, 2)
    assert angular_errors(prediction, target)[0][0, 0, 0] == 90
    metric = AngleErrors(average)
    metric.update(prediction, target)
    assert metric.compute()[name] == 50.0


@pytest.mark.parametrize("average", ["batch", "pixel"])
def test_opposite_normals(average: Average) -> None:
    prediction, target = at_angles(0, 0, 0)
    metric = AngleErrors(average)
    metric.update(-prediction, target)
    found = metric.compute()
    assert found["angle_mean"] == 180
    assert found["angle_median"] == pytest.approx(180, abs=0.5 / 1024)
    assert found["within_30"] == 0


def test_valid_normal_whose_components_cancel_counts() -> None:
    half = math.sqrt(0.5)
    target = torch.tensor([half, -half, 0.0]).reshape(1, 3, 1, 1)
    angles, valid = angular_errors(torch.tensor([0.0, 0, 1]).reshape(1, 3, 1, 1), target)
    assert valid.all()
    assert angles.item() == pytest.approx(90)


def test_target_longer_than_one_is_clamped() -> None:
    prediction, target = at_angles(0, 90)
    angles, _ = angular_errors(prediction, 1.1 * target)
    np.testing.assert_allclose(angles.flatten(), [0, 90], atol=1e-12)


@pytest.mark.parametrize("average", ["batch", "pixel"])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_prediction_has_no_angle(average: Average, sign: int) -> None:
    """Clamped, its dot product would be the one of a perfect or of an opposite normal."""
    prediction, target = at_angles(10, 20)
    prediction[0, :, 0, 0] = torch.tensor([sign * math.inf, 1.0, 0.0])
    metric = AngleErrors(average)
    metric.update(prediction, target + 0.1)
    assert math.isnan(metric.compute()["angle_mean"])
