"""Ranks, intervals and probabilities against SciPy, closed forms and plain loops."""

from itertools import pairwise, product
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import permutation_test, rankdata, spearmanr, trim_mean

from mtl_bench.reporting.inference import (
    Interval,
    bootstrap_delta,
    bootstrap_interquartile_mean,
    bootstrap_mean,
    holm,
    interquartile_mean,
    marks,
    mean_ranks,
    probability_of_improvement,
    rank_correlation,
    sign_flip_test,
)

VALUES = st.integers(1, 6).map(float)


@given(
    arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=VALUES),
    st.data(),
)
def test_ranks_are_those_of_scipy(means_RK, data):
    higher_K = np.array(data.draw(st.lists(st.booleans(), min_size=means_RK.shape[1])))[
        : means_RK.shape[1]
    ]
    signed = np.where(higher_K, -means_RK, means_RK)
    assert mean_ranks(means_RK, higher_K) == pytest.approx(rankdata(signed, axis=0).mean(axis=1))


def test_a_row_that_lacks_a_metric_is_not_ranked():
    means = np.array([[1.0, 2.0], [nan, 1.0], [2.0, 1.0]])
    assert mean_ranks(means, np.array([False, False])) == [1.5, None, 1.5]
    assert mean_ranks(means[:2], np.array([False, False])) == [None, None]


@given(arrays(float, st.tuples(st.integers(2, 9), st.just(2)), elements=VALUES))
def test_the_rank_correlation_is_that_of_scipy(pairs):
    constant = (pairs == pairs[0]).all(axis=0).any()
    found = rank_correlation(*pairs.T)
    expected = None if constant else pytest.approx(spearmanr(pairs).statistic)
    assert found == expected


def test_the_interval_of_a_mean_covers_what_all_resamples_say():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    means = [np.mean(chosen) for chosen in product(values, repeat=5)]
    low, high = np.quantile(means, [0.025, 0.975])
    assert bootstrap_mean(values) == pytest.approx((low, high), abs=0.5)
    assert bootstrap_mean(values[:1]) is None
    assert bootstrap_mean(np.array([1.0, nan])) is None


def test_the_interval_of_two_seeds_is_their_range():
    """Each of the two comes up twice in a quarter of the draws."""
    assert bootstrap_mean(np.array([3.0, 5.0])) == Interval(3.0, 5.0)


@pytest.mark.parametrize(("seeds", "held"), [(2, 0.50), (3, 0.75), (5, 0.84), (10, 0.90)])
def test_how_often_an_interval_of_few_seeds_holds_the_mean(seeds, held):
    """What is said below tables and in the docs, of normal numbers."""
    draws = np.random.default_rng(0).normal(size=(1000, seeds))
    found = [low <= 0 <= high for low, high in map(bootstrap_mean, draws)]
    assert np.mean(found) == pytest.approx(held, abs=0.04)


def test_the_interval_of_delta_holds_the_noise_of_both_sides():
    singles, values = np.array([[1.0], [3.0]]), np.array([[2.0], [2.0]])
    interval = bootstrap_delta(values, singles, np.array([False]))
    assert interval == pytest.approx((100 * (2 - 3) / 3, 100 * (2 - 1) / 1))
    upward = bootstrap_delta(values, singles, np.array([True]))
    assert upward == pytest.approx((-interval.high, -interval.low))


def test_the_interval_of_delta_keeps_its_direction_below_zero():
    """Both sides turned round, an error below zero is one above that is better when higher."""
    singles, values = np.array([[1.0], [3.0]]), np.array([[2.0], [2.5]])
    interval = bootstrap_delta(values, singles, np.array([True]))
    turned = bootstrap_delta(-values, -singles, np.array([False]))
    assert turned == pytest.approx(tuple(interval))


@pytest.mark.parametrize(
    ("values", "singles"),
    [([[1.0]], [[1.0], [2.0]]), ([[1.0], [2.0]], [[1.0]]), ([[1.0], [nan]], [[1.0], [2.0]])],
)
def test_no_interval_of_delta_without_two_seeds_of_everything(values, singles):
    assert bootstrap_delta(np.array(values), np.array(singles), np.array([False])) is None


def test_a_reference_of_zero_has_no_interval():
    two = np.array([[1.0], [2.0]])
    assert bootstrap_delta(two, np.array([[1.0], [-1.0]]), np.array([False])) is None


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.randoms())
def test_the_probability_of_improvement_counts_pairs(n, m, k, random):
    draw = np.random.default_rng(random.randrange(1000))
    own, others = draw.integers(3, size=(n, k)), draw.integers(3, size=(m, k))
    higher = draw.integers(2, size=k).astype(bool)
    wins = 0.0
    for i, j, metric in product(range(n), range(m), range(k)):
        ahead = own[i, metric] - others[j, metric]
        ahead = ahead if higher[metric] else -ahead
        wins += 0.5 if ahead == 0 else float(ahead > 0)
    found = probability_of_improvement(own.astype(float), others.astype(float), higher)
    assert found == pytest.approx(wins / (n * m * k))
    back = probability_of_improvement(others.astype(float), own.astype(float), higher)
    assert found + back == pytest.approx(1)


def test_no_probability_without_runs_or_with_a_missing_value():
    one, none = np.ones((1, 1)), np.empty((0, 1))
    higher = np.array([False])
    assert probability_of_improvement(one, none, higher) is None
    assert probability_of_improvement(np.array([[nan]]), one, higher) is None


def test_marks_need_intervals_that_are_apart():
    a, b, c = Interval(0, 1), Interval(2, 3), Interval(4, 5)
    assert marks([0.5, 2.5, 4.5], [a, b, c], higher=False) == ["best", "second", ""]
    assert marks([0.5, 2.5, 4.5], [a, b, c], higher=True) == ["", "second", "best"]
    assert marks([0.5, 2.5, 4.5], [a, Interval(0.9, 3), c], higher=False) == ["", "", ""]
    assert marks([0.5, 2.5, 4.5], [a, b, None], higher=False) == ["best", "", ""]
    assert marks([None, 2.5, 0.5], [None, b, a], higher=False) == ["", "", "best"]
    assert marks([1.0], [a], higher=False) == [""]


def test_the_best_is_apart_from_every_entry_behind_it_and_not_from_the_next_alone():
    best, near, wide = Interval(0, 1), Interval(2, 3), Interval(0.9, 8)
    assert marks([0.5, 2.5, 4.5], [best, near, wide], higher=False) == ["", "", ""]
    assert marks([0.5, 2.5, 4.5], [best, wide, near], higher=False) == ["", "", ""]
    second = [best, Interval(1.1, 1.9), near, Interval(1.5, 8)]
    assert marks([0.5, 1.5, 2.5, 4.5], second, higher=False) == ["best", "", "", ""]
    low = [Interval(-high, -low) for low, high in second]
    assert marks([-0.5, -1.5, -2.5, -4.5], low, higher=True) == ["best", "", "", ""]


@pytest.mark.parametrize("higher", [False, True])
def test_intervals_that_touch_are_not_apart(higher):
    means, intervals = [0.5, 1.5], [Interval(0, 1), Interval(1, 2)]
    assert marks(means, intervals, higher=higher) == ["", ""]


def test_a_tie_of_three_shares_the_middle_rank():
    assert mean_ranks(np.ones((3, 1)), np.array([True])) == [2.0] * 3


@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=VALUES))
def test_the_interquartile_mean_is_the_trimmed_mean_of_scipy(values_NK):
    assert interquartile_mean(values_NK) == pytest.approx(trim_mean(values_NK, 0.25, axis=None))


def test_the_interquartile_mean_by_hand():
    values_NK = np.array([[0.0, 7.0, 100.0, 3.0], [2.0, 5.0, -100.0, 4.0]])
    assert interquartile_mean(values_NK) == pytest.approx((2 + 3 + 4 + 5) / 4)
    for lacking in (np.array([[1.0, nan]]), np.zeros((0, 3)), np.zeros((3, 0))):
        assert interquartile_mean(lacking) is None
        assert bootstrap_interquartile_mean(lacking) is None


def test_the_stratified_interval_of_two_seeds_and_one_task_is_their_range():
    assert bootstrap_interquartile_mean(np.array([[0.25], [0.75]])) == (0.25, 0.75)
    assert bootstrap_interquartile_mean(np.array([[0.25]])) is None


def test_equal_seeds_leave_no_doubt():
    values_NK = np.tile(np.linspace(0, 1, 8), (3, 1))
    middle = pytest.approx(interquartile_mean(values_NK))
    assert bootstrap_interquartile_mean(values_NK) == (middle, middle)


def test_the_seeds_of_each_task_are_drawn_apart():
    """Of two seeds one solves all K tasks and the other none.

    How many of the 2 K drawn values are solved is binomial, and K / 2 are cut off at each end; of
    whole seeds the interval would be that from 0 to 1.
    """
    tasks = 32
    values_NK = np.repeat([[0.0], [1.0]], tasks, axis=1)
    found = bootstrap_interquartile_mean(values_NK)
    draws = np.random.default_rng(1).binomial(2 * tasks, 0.5, size=100_000)
    expected = np.clip(draws - tasks // 2, 0, tasks) / tasks
    assert found == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])), abs=0.05)


def test_the_stratified_interval_narrows_with_seeds_and_holds_the_value():
    generator = np.random.default_rng(0)
    few, many = (generator.beta(4, 2, size=(n, 6)) for n in (4, 64))
    widths = []
    for values_NK in (few, many):
        low, high = bootstrap_interquartile_mean(values_NK)
        assert low <= interquartile_mean(values_NK) <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize("values", [[0.5, -1.0, 2.0, 3.5, 0.1, 4.0], [0.0, 0.0, 1.0], [2.0]])
def test_flips_of_signs_are_those_of_scipy(values):
    values_N = np.array(values)
    if len(values) > 1:
        found = permutation_test(
            (values_N,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flip_test(values_N) == pytest.approx(found.pvalue)
    assert sign_flip_test(-3e-5 * values_N) == sign_flip_test(values_N)


@pytest.mark.parametrize("tenths", [[2, 9, -7, -4], [5, -3, -4, 7, 4, -9], [1, 2, -3]])
def test_no_pattern_is_nearer_to_zero_than_differences_that_cancel(tenths):
    assert sign_flip_test(np.array(tenths) / 10) == 1


def test_flips_of_many_signs_are_drawn():
    generator = np.random.default_rng(1)
    noise_N = generator.normal(size=40)
    assert 0.05 < sign_flip_test(noise_N - noise_N.mean() + 0.1 * noise_N.std()) < 0.95
    assert 0 < sign_flip_test(noise_N + 10) < 1e-4


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_correction_by_holm_is_at_least_each_p_and_keeps_the_order(values):
    found = holm(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    assert all(own >= value for own, value in zip(found, values, strict=True))
    assert all(found[i] <= found[j] for i, j in pairwise(order))
    assert found[order[0]] == min(1, len(values) * values[order[0]])


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []
