from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtl_bench.losses import (
    depth_l1,
    disparity_l1,
    instance_l1,
    normal_cosine,
    segmentation_nll,
)
from tests.metrics import dense


class Case(NamedTuple):
    """A loss, and the same loss and its gradient as sums over NumPy's selection of pixels."""

    loss: Callable[[Tensor, Tensor], Tensor]
    draw: Callable[..., dense.Batch]
    void: float
    expected: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def expected_nll(scores: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    gradient = np.zeros_like(scores)
    places = np.argwhere(target != -1)
    total = 0.0
    for b, h, w in places:
        total -= scores[b, target[b, h, w], h, w]
        gradient[b, target[b, h, w], h, w] = -1 / len(places)
    return total / len(places), gradient


def expected_l1(
    prediction: np.ndarray, target: np.ndarray, void: float
) -> tuple[float, np.ndarray]:
    valid = target != void
    value = np.abs(prediction[valid].astype(np.float64) - target[valid]).mean()
    return value, np.sign(prediction - target) * valid / valid.sum()


def expected_cosine(prediction: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    count = (np.linalg.norm(target, axis=1) > 0).sum()
    return 1 - (prediction.astype(np.float64) * target).sum() / count, -target / count


CASES = {
    "nll": Case(partial(segmentation_nll, ignore=-1), dense.draw_segmentation, -1, expected_nll),
    "depth": Case(depth_l1, dense.draw_depth, 0, partial(expected_l1, void=0)),
    "normal": Case(normal_cosine, dense.draw_normals, 0, expected_cosine),
    "instance": Case(
        partial(instance_l1, invalid=250), dense.draw_offsets, 250, partial(expected_l1, void=250)
    ),
    "disparity": Case(disparity_l1, dense.draw_depth, 0, partial(expected_l1, void=0)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def value_and_gradient(
    case: Case, prediction: np.ndarray, target: np.ndarray
) -> tuple[float, np.ndarray]:
    leaf = torch.from_numpy(prediction).requires_grad_()
    loss = case.loss(leaf, torch.from_numpy(target))
    assert loss.shape == ()
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.item(), gradient.numpy()


@every_case
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 3))
def test_value_and_gradient(case: Case, seed: int, size: int) -> None:
    prediction, target = case.draw(np.random.default_rng(seed), (size, 4, 5))
    value, gradient = value_and_gradient(case, prediction, target)
    expected, expected_gradient = case.expected(prediction, target)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


@every_case
def test_nothing_valid_gives_zero_and_a_gradient_of_zeros(case: Case) -> None:
    prediction, target = case.draw(np.random.default_rng(0), (2, 4, 5))
    value, gradient = value_and_gradient(case, prediction, np.full_like(target, case.void))
    assert value == 0
    assert gradient.shape == prediction.shape
    assert not gradient.any()


@every_case
def test_images_are_not_averaged_singly(case: Case) -> None:
    prediction, target = case.draw(np.random.default_rng(0), (2, 4, 5))
    alone, _ = value_and_gradient(case, prediction[:1], target[:1])
    target[1] = case.void
    both, gradient = value_and_gradient(case, prediction, target)
    assert both == pytest.approx(alone, rel=1e-6)
    assert not gradient[1].any()


@every_case
@pytest.mark.parametrize("junk", [1e30, float("inf"), float("nan")])
def test_predictions_of_an_invalid_image_reach_neither_value_nor_gradient(
    case: Case, junk: float
) -> None:
    prediction, target = case.draw(np.random.default_rng(0), (2, 4, 5))
    target[1] = case.void
    value, gradient = value_and_gradient(case, prediction, target)
    prediction[1] = junk
    changed_value, changed_gradient = value_and_gradient(case, prediction, target)
    assert changed_value == value
    np.testing.assert_array_equal(changed_gradient, gradient)


@every_case
def test_never_asks_for_a_value(case: Case) -> None:
    # tensors of the meta device have none: whatever would wait for a GPU fails there
    prediction, target = case.draw(np.random.default_rng(0), (2, 4, 5))
    leaf = torch.from_numpy(prediction).to("meta").requires_grad_()
    loss = case.loss(leaf, torch.from_numpy(target).to("meta"))
    torch.autograd.grad(loss, leaf)


def test_by_hand() -> None:
    def maps(*values: float) -> Tensor:
        return torch.tensor(values).reshape(1, 1, 1, -1)

    assert depth_l1(maps(1, 5, 9), maps(2, 1, 0)).item() == 2.5
    assert disparity_l1(maps(1, 5, 9), maps(2, 1, 0)).item() == 2.5
    offsets = instance_l1(maps(1.5, 2, 9), maps(1, 250, 250), 250)
    assert offsets.item() == 0.5
    far = instance_l1(maps(290, 2, 9), maps(300, -300, 250), 250)  # 250 is a mark, not a limit
    assert far.item() == (10 + 302) / 2
    log_probs = torch.tensor([[[[-0.5, -1.0, -9.0]], [[-2.0, -3.0, -9.0]]]])
    assert segmentation_nll(log_probs, torch.tensor([[[0, 1, -1]]]), -1).item() == 1.75
    x, none = [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    target = torch.tensor([x, x, none]).T.reshape(1, 3, 1, 3)
    prediction = torch.tensor([x, [0.0, 1.0, 0.0], x]).T.reshape(1, 3, 1, 3)
    assert normal_cosine(prediction, target).item() == 0.5
