from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mtl_bench.metrics.averages import HistogramMedian, MeanOfMedians, count_values

HALF_BIN = 0.5 / 1024


def histogram_median(values: np.ndarray, pieces: int = 1) -> float:
    median = HistogramMedian(1024, 180)
    for piece in np.array_split(values, pieces):
        median.add(torch.from_numpy(piece), torch.ones(len(piece), dtype=torch.bool))
    return median.compute()


ADVERSARIAL = {
    "one": np.array([12.3456]),
    "all equal": np.full(1000, 33.333333),
    "all 0": np.zeros(1000),
    "all 180": np.full(1000, 180.0),
    "two points, even": np.repeat([0.0, 180.0], 500),
    "two points, one more below": np.repeat([3.0, 170.0], [501, 500]),
    "two points, one more above": np.repeat([3.0, 170.0], [500, 501]),
    "heavy at 0": np.concatenate([np.zeros(600), np.linspace(0, 180, 500)]),
    "nearly heavy at 0": np.concatenate([np.zeros(500), np.linspace(90, 180, 500)]),
    "on bin edges": np.arange(1001) / 1024,
    "just below bin edges": np.nextafter(np.arange(1, 1001) / 1024, 0),
    "within one bin": np.linspace(45, 45 + 1 / 1025, 1001),
    "neighbouring bins": np.repeat([45 + 1e-9, 45 + 2 / 1024 - 1e-9], 500),
    "tiny": np.full(10, 1e-300),
}


@pytest.mark.parametrize("values", ADVERSARIAL.values(), ids=ADVERSARIAL)
@pytest.mark.parametrize("pieces", [1, 7])
def test_histogram_median_is_within_half_a_bin(values: np.ndarray, pieces: int) -> None:
    assert abs(histogram_median(values, pieces) - np.median(values)) <= HALF_BIN


@given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 180)))
def test_histogram_median_of_anything_is_within_half_a_bin(values: np.ndarray) -> None:
    assert abs(histogram_median(values) - np.median(values)) <= HALF_BIN + 1e-12


@given(
    st.lists(
        arrays.arrays(np.float64, st.integers(0, 9), elements=st.floats(-5, 5)), min_size=1
    ).filter(lambda batches: any(len(batch) for batch in batches))
)
def test_mean_of_medians(batches: list[np.ndarray]) -> None:
    medians = MeanOfMedians()
    rng = np.random.default_rng(0)
    for batch in batches:
        # the valid values somewhere among as many invalid ones
        places = rng.permutation(2 * len(batch) + 1)
        values = np.full(len(places), np.nan)
        values[places[: len(batch)]] = batch
        medians.add(torch.from_numpy(values), torch.from_numpy(~np.isnan(values)))
    expected = np.mean([np.median(batch) for batch in batches if len(batch)])
    assert medians.compute() == pytest.approx(expected, abs=1e-12)


def test_count_values_by_hand() -> None:
    indices = torch.tensor([[3, 0, 3], [1, 1, 3]])
    valid = torch.tensor([[True, True, True], [False, True, True]])
    assert count_values(indices, valid, 5).tolist() == [1, 1, 0, 3, 0]
