"""What a few seeds allow to say: ranks, bootstrap intervals, probability of improvement.

Legend of shape suffixes: R rows (methods), K metrics, N and M seeds of two groups of runs, D draws.
Metrics are NumPy arrays in which a missing value is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

LEVEL = 0.95
ENOUGH = 10
"""Seeds from which on a bootstrap interval holds about what it promises."""
FEWEST = 3
"""Seeds below which no row is called the best: see ``Interval``."""

EXACT = 16
"""Seeds up to which all patterns of signs are looked at."""
TIE = 1e-9
"""Sums that differ by so little of what is added up are equal but for rounding."""

DRAWS = 2000
SEED = 0
"""Of the bootstrap's generator, so that a table is a function of the records."""

Mark = Literal["best", "second", ""]


class Interval(NamedTuple):
    """A two-sided 95 % percentile bootstrap interval over seeds.

    It is too narrow for few seeds: of normal numbers it holds the mean in about 50, 75, 84 and
    90 % of cases with 2, 3, 5 and 10 of them; with 2 or 3 it is their range. Those of two equal
    methods are apart in 33, 10, 5 and 2 % of cases, so that 2 seeds mark nothing.
    """

    low: float
    high: float


def mean_ranks(means_RK: np.ndarray, higher_K: np.ndarray) -> list[float | None]:
    """Return each row's mean over metrics of its rank, 1 for the best; ties share their mean rank.

    A row that lacks a metric is not ranked and None; nobody is ranked where there is one row only.
    """
    complete_R = np.isfinite(means_RK).all(axis=1)
    ranks: list[float | None] = [None] * len(means_RK)
    if complete_R.sum() < 2:
        return ranks
    found_R = column_ranks(np.where(higher_K, -1.0, 1.0) * means_RK[complete_R]).mean(axis=1)
    for row, rank in zip(np.flatnonzero(complete_R), found_R, strict=True):
        ranks[row] = float(rank)
    return ranks


def column_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks along the first axis, 1 the smallest; equal values share their mean rank."""
    smaller = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    found: np.ndarray = smaller + (equal + 1) / 2
    return found


def rank_correlation(first_R: Sequence[float], second_R: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation; None of fewer than two or where all are equal."""
    if len(first_R) < 2:
        return None
    ranks_2R = column_ranks(np.array([first_R, second_R], dtype=float).T).T
    if not ranks_2R.std(axis=1).all():
        return None
    return float(np.corrcoef(ranks_2R)[0, 1])


def bootstrap_mean(values_N: np.ndarray) -> Interval | None:
    """Return the interval of a mean over seeds; None of fewer than two or with a missing value."""
    if len(values_N) < 2 or not np.isfinite(values_N).all():
        return None
    draws_DN = _draws(len(values_N))
    return _interval(values_N[draws_DN].mean(axis=1))


def bootstrap_delta(
    values_NK: np.ndarray, singles_MK: np.ndarray, higher_K: np.ndarray
) -> Interval | None:
    """Return the interval of Δm in percent.

    The seeds of the method and those of STL are drawn apart from each other, so that the interval
    holds the noise of the reference too. The Δm of means is the mean of the seeds' Δm.

    Returns:
        None with fewer than two seeds of either, a missing value, or a reference of zero.
    """
    arrays = (values_NK, singles_MK)
    if min(map(len, arrays)) < 2 or not all(np.isfinite(array).all() for array in arrays):
        return None
    generator = np.random.default_rng(SEED)
    means_DK, singles_DK = (
        array[generator.integers(len(array), size=(DRAWS, len(array)))].mean(axis=1)
        for array in arrays
    )
    if (singles_DK == 0).any():
        return None
    signs_K = np.where(higher_K, -1.0, 1.0)
    changes_DK = 100 * signs_K * (means_DK - singles_DK) / np.abs(singles_DK)
    return _interval(changes_DK.mean(axis=1))


def interquartile_mean(values_NK: np.ndarray) -> float | None:
    """Return the mean of the middle half of all values, of every seed and metric alike.

    A quarter of them, rounded down, is cut off at each end (Agarwal et al., Deep Reinforcement
    Learning at the Edge of the Statistical Precipice, NeurIPS 2021, section 4.3). None where a
    value is missing.
    """
    if not values_NK.size or not np.isfinite(values_NK).all():
        return None
    return float(_middle_means(values_NK.reshape(1, -1))[0])


def bootstrap_interquartile_mean(values_NK: np.ndarray) -> Interval | None:
    """Return the interval of the interquartile mean from a stratified bootstrap.

    The metrics of the tasks are the strata: the seeds of each are drawn apart from those of the
    others, as rliable does. None of fewer than two seeds or with a missing value.
    """
    seeds, metrics = values_NK.shape
    if seeds < 2 or interquartile_mean(values_NK) is None:
        return None
    draws_DNK = np.random.default_rng(SEED).integers(seeds, size=(DRAWS, seeds, metrics))
    drawn_DNK = np.take_along_axis(values_NK[None], draws_DNK, axis=1)
    return _interval(_middle_means(drawn_DNK.reshape(DRAWS, -1)))


def _middle_means(values_DN: np.ndarray) -> np.ndarray:
    cut = values_DN.shape[1] // 4
    means: np.ndarray = np.sort(values_DN, axis=1)[:, cut : values_DN.shape[1] - cut].mean(axis=1)
    return means


def probability_of_improvement(
    values_NK: np.ndarray, others_MK: np.ndarray, higher_K: np.ndarray
) -> float | None:
    """Return how probable it is that a run of the first group beats one of the second.

    The share of pairs of runs that it wins, a tie counting half, averaged over metrics (Agarwal et
    al., NeurIPS 2021, section 4.3). None where a value is missing or a group is empty.
    """
    if not len(values_NK) or not len(others_MK):
        return None
    if not np.isfinite(values_NK).all() or not np.isfinite(others_MK).all():
        return None
    ahead_NMK = np.where(higher_K, 1.0, -1.0) * (values_NK[:, None] - others_MK[None])
    return float(((np.sign(ahead_NMK) + 1) / 2).mean())


def marks(
    means: Sequence[float | None], intervals: Sequence[Interval | None], higher: bool
) -> list[Mark]:
    """Say which entry is the best and which the second best, as far as the intervals allow it.

    An entry is marked only if its interval overlaps that of none behind it in the order; the next
    one has to have an interval. The second best is marked only behind a best that is.
    """
    shown: list[Mark] = [""] * len(means)
    order = sorted(
        (i for i, mean in enumerate(means) if mean is not None),
        key=lambda i: -(means[i] or 0.0) if higher else (means[i] or 0.0),
    )
    names: tuple[Mark, Mark] = ("best", "second")
    for name, first, place in zip(names, order, range(1, len(order)), strict=False):
        own, behind = intervals[first], [intervals[i] for i in order[place:]]
        if own is None or behind[0] is None:
            break
        known = [other for other in behind if other is not None]
        if any(own.low <= o.high if higher else own.high >= o.low for o in known):
            break
        shown[first] = name
    return shown


def sign_flip_test(differences_N: np.ndarray) -> float:
    """Return the two-sided p of paired differences with a mean of zero, by flipping their signs.

    If two methods are alike, each seed's difference could as well have the other sign. p is the
    share of the 2^N patterns of signs whose mean is as far from zero (Fisher, The Design of
    Experiments, 1935, section 21), at least 2 / 2^N. With more than 16 seeds it is estimated from
    65,535 patterns and that of the data.

    Args:
        differences_N: of one seed each, at least one.

    Example:
        >>> import numpy as np
        >>> sign_flip_test(np.array([1.0, 2.0, 3.0]))
        0.25
    """
    count = len(differences_N)
    if count <= EXACT:
        patterns = np.arange(1 << count)[:, None] >> np.arange(count) & 1
    else:
        patterns = np.random.default_rng(SEED).integers(2, size=(1 << EXACT, count))
        patterns[0] = 0
    sums = np.abs((1 - 2 * patterns) @ differences_N)
    reached = sums >= sums[0] - TIE * np.abs(differences_N).sum()  # the first is of no flip
    return float(reached.mean())


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's procedure (1979), in their order.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none may be below one before.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(factors * np.asarray(values)[order]), 1)
    found = np.empty(len(values))
    found[order] = corrected
    return found.tolist()


def _draws(count: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(count, size=(DRAWS, count))


def _interval(values_D: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values_D, [tail, 1 - tail])
    return Interval(float(low), float(high))
