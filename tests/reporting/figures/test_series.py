import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose, assert_array_equal

from mtl_bench.reporting.figures.series import (
    mean_and_sd,
    moving_average,
    nan_mean,
    row_percentiles,
    shares,
    smooth_and_thin,
    thin,
)
from mtl_bench.reporting.inference import column_ranks

VALUES = st.one_of(st.floats(-100, 100), st.just(math.nan), st.just(math.inf))
FEW = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(1, 12))
def test_the_moving_average_is_numpys_mean_of_what_is_finite_in_each_window(values, window):
    averaged = moving_average(np.array(values)[:, None], window)[:, 0]
    windows = sliding_window_view(np.array(values), min(window, len(values)))
    expected = [np.mean(w[np.isfinite(w)]) if np.isfinite(w).any() else math.nan for w in windows]
    assert_allclose(averaged, expected, atol=1e-9)


def test_columns_are_averaged_apart():
    values_NK = np.arange(24.0).reshape(12, 2)
    assert_allclose(moving_average(values_NK), [[9, 10], [11, 12], [13, 14]])


@given(st.integers(1, 5000), st.integers(2, 300))
def test_thinning_keeps_both_ends_and_even_distances(length, most):
    kept = thin(length, most)
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert len(kept) == min(length, most)
    assert np.ptp(np.diff(kept)) <= 1 if len(kept) > 2 else True


def test_each_average_stands_at_the_last_update_of_its_window():
    steps, means = smooth_and_thin(np.arange(1, 13), np.arange(1.0, 13.0)[:, None], 10)
    assert_array_equal(steps, [10, 11, 12])
    assert_allclose(means[:, 0], [5.5, 6.5, 7.5])


def test_a_window_counts_updates_and_not_the_rows_of_a_sparse_log():
    steps, means = smooth_and_thin(np.arange(5, 61, 5), np.arange(1.0, 13.0)[:, None], 50)
    assert_array_equal(steps, [50, 55, 60])
    assert_allclose(means[:, 0], [5.5, 6.5, 7.5])


def test_shares_compare_methods_with_other_sums():
    weights_NK = np.array([[1.0, 3.0], [2.0, 6.0], [-1.0, 1.0], [0.0, 0.0], [np.nan, 1.0]])
    expected = [[0.25, 0.75], [0.25, 0.75], [-0.5, 0.5], [np.nan] * 2, [np.nan] * 2]
    assert_array_equal(shares(weights_NK), expected)


def test_deviation_needs_two_seeds_and_a_nan_of_one_seed_is_one_of_the_mean():
    one, other = np.array([1.0, 2.0]), np.array([3.0, np.nan])
    assert mean_and_sd([one])[1] is None
    mean, deviation = mean_and_sd([one, other])
    assert_allclose(mean, [2.0, np.nan])
    assert_allclose(deviation, [math.sqrt(2), np.nan])


def test_nan_mean_leaves_out_what_is_not_finite():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.inf, np.nan]])
    assert_array_equal(nan_mean(values, axis=0), [2.0, np.nan])


@given(st.lists(st.lists(VALUES, min_size=5, max_size=5), min_size=1, max_size=6))
def test_percentiles_of_rows_are_numpys_of_what_is_finite(rows):
    percents = (0, 10, 25, 50, 90, 100)
    found = row_percentiles(np.array(rows), percents)
    for row, own in zip(np.array(rows), found, strict=True):
        finite = row[np.isfinite(row)]
        expected = np.percentile(finite, percents) if finite.size else [math.nan] * len(percents)
        assert_allclose(own, expected, atol=1e-9)


@given(FEW)
def test_equal_values_share_the_mean_of_the_places_they_fill(values):
    ordered = sorted(values)
    places = {v: np.mean([i + 1 for i, o in enumerate(ordered) if o == v]) for v in values}
    assert_allclose(column_ranks(np.array(values)), [places[v] for v in values])


@given(FEW)
def test_the_other_direction_turns_the_ranks_round(values):
    down, up = column_ranks(np.array(values)), column_ranks(-np.array(values))
    assert_allclose(down + up, len(values) + 1)


def test_ranks_are_those_within_a_metric_and_seed():
    accuracy_MS, error_MS = [[0.9, 0.5], [0.8, 0.7]], [[1.0, 2.0], [1.0, 3.0]]
    values_MCS = np.stack([accuracy_MS, error_MS], axis=1)
    table = column_ranks(np.array([[-1], [1]]) * values_MCS)
    assert_array_equal(table[:, 0], [[1, 2], [2, 1]])
    assert_array_equal(table[:, 1], [[1.5, 1], [1.5, 2]])
