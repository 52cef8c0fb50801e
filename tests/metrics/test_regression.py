from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtl_bench.metrics import Average, DepthErrors, DisparityError, InstanceError


def maps(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("average", "abs_err", "rel_err"),
    [("pixel", 5 / 4, 1.75 / 4), ("batch", (2 / 3 + 3) / 2, (0.75 / 3 + 1) / 2)],
)
def test_depth_by_hand(average: Average, abs_err: float, rel_err: float) -> None:
    metric = DepthErrors(average)
    metric.update(maps(1, 5, 9, 1), maps(2, 4, 0, 1))
    metric.update(maps(6, 1, 1), maps(3, 0, 0))
    metric.update(maps(8), maps(0))
    assert metric.compute() == pytest.approx({"abs_err": abs_err, "rel_err": rel_err})


def test_instance_offsets_are_truncated_toward_zero() -> None:
    metric = InstanceError(250)
    #                  0     0    2     1     -     -
    metric.update(maps(1.9, -0.9, 3.0, -2.1, 9.0, 9.0), maps(1.2, 0.9, 1.99, -1.8, 250.0, 250.7))
    assert metric.compute() == {"inst_l1_px": 3 / 4}


def test_instance_error_counts_y_and_x_singly() -> None:
    metric = InstanceError(250)
    target = torch.tensor([3.0, 250.0]).reshape(1, 2, 1, 1)
    metric.update(torch.zeros(1, 2, 1, 1), target)
    assert metric.compute() == {"inst_l1_px": 3.0}


def test_instances_further_away_than_the_mark_count() -> None:
    metric = InstanceError(250)
    metric.update(maps(290.0, 2.0, 9.0), maps(300.0, -300.0, 250.0))
    assert metric.compute() == {"inst_l1_px": (10 + 302) / 2}


def test_disparity_by_hand() -> None:
    metric = DisparityError()
    metric.update(maps(1, 5, 9), maps(2, 2, 0))
    metric.update(maps(2), maps(4))
    assert metric.compute() == pytest.approx({"disparity_mse": (1 + 9 + 4) / 3})
