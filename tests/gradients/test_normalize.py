"""Gram matrices of normalised gradients, against the gradients themselves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_bench.gradients.normalize import normalize_gram, normalizers

GRADIENTS = arrays(
    np.float64, (3, 5), elements=st.floats(-1e3, 1e3).map(lambda x: x if abs(x) > 1e-3 else 0.0)
)
LOSSES = arrays(np.float64, 3, elements=st.floats(0.01, 100.0))
KINDS = ["none", "l2", "loss", "loss+"]


def explicit(gradients, losses, kind):
    """The normalised gradients themselves, one row after the other."""
    rows = []
    for gradient, loss in zip(gradients, losses, strict=True):
        norm = math.sqrt(sum(x * x for x in gradient))
        scale = {"none": 1.0, "l2": norm, "loss": loss, "loss+": loss * norm}[kind]
        rows.append(gradient / scale if norm > 0 else np.zeros_like(gradient))
    return np.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@given(gradients=GRADIENTS, losses=LOSSES)
def test_normalised_gram_is_that_of_the_normalised_gradients(kind, gradients, losses):
    gram_TT = torch.from_numpy(gradients @ gradients.T)
    scales_T = normalizers(gram_TT, torch.from_numpy(losses), kind)
    assert scales_T.dtype == torch.float64
    rows = explicit(gradients, losses, kind)
    scale = max(1.0, np.abs(rows @ rows.T).max())
    np.testing.assert_allclose(
        normalize_gram(gram_TT, scales_T), rows @ rows.T, rtol=1e-9, atol=1e-9 * scale
    )
    np.testing.assert_allclose(torch.from_numpy(gradients) / scales_T[:, None], rows, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "scales"),
    [("none", [1, 1]), ("l2", [1, 2]), ("loss", [3, 1]), ("loss+", [1, 1])],
)
def test_zero_gradient_and_zero_loss_are_divided_by_one(kind, scales):
    gram_TT = torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    scales_T = normalizers(gram_TT, torch.tensor([3.0, 0.0]), kind)
    assert scales_T.tolist() == scales
    normalized_TT = normalize_gram(gram_TT, scales_T)
    assert normalized_TT.isfinite().all()
    assert normalized_TT[0].tolist() == [0, 0]


def test_tiny_scales_do_not_underflow_together():
    gram_TT = torch.full((2, 2), 1e-290, dtype=torch.float64)
    scales_T = normalizers(gram_TT, torch.full((2,), 1e-30), "loss+")
    assert normalize_gram(gram_TT, scales_T).isfinite().all()
