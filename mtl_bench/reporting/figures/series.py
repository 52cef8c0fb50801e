"""Numbers behind the figures: epochs, smoothing, thinning, shares, percentiles.

Legend of shape suffixes: N steps, K series, Q percentiles, E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray

WINDOW = 10
"""Updates of a moving average at least, as in the paper's figure 4."""

POINTS = 1000
"""Points of a line at most; a panel is a few hundred dots wide."""


def moving_average(values_NK: Array, window: int = WINDOW) -> Array:
    """Return the means of ``window`` neighbouring rows, (N - window + 1, K) in float64.

    NaN and infinite values are left out of the means; a mean of nothing else is NaN. A series
    shorter than the window is averaged as a whole.
    """
    values_NK = np.asarray(values_NK, dtype=np.float64)
    window = min(window, len(values_NK))
    finite_NK = np.isfinite(values_NK)
    sums = _window_sums(np.where(finite_NK, values_NK, 0.0), window)
    counts = _window_sums(finite_NK.astype(np.float64), window)
    return np.where(counts > 0.5, sums, np.nan) / np.maximum(counts, 1.0)


def _window_sums(values_NK: Array, window: int) -> Array:
    zero = np.zeros((1, *values_NK.shape[1:]))
    totals = np.concatenate([zero, np.cumsum(values_NK, axis=0)])
    sums: Array = totals[window:] - totals[:-window] if window else totals[:0]
    return sums


def thin(length: int, most: int = POINTS) -> Array:
    """Return the indices of at most ``most`` evenly spread points, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def rows_within(steps_N: Array, updates: int) -> int:
    """Return how many rows of a step log a window of so many updates holds, one at least.

    >>> rows_within(np.arange(10, 1001, 10), updates=50)
    5
    """
    if len(steps_N) < 2:
        return 1
    return max(1, round(updates * (len(steps_N) - 1) / int(steps_N[-1] - steps_N[0])))


def smooth_and_thin(steps_N: Array, values_NK: Array, updates: int) -> tuple[Array, Array]:
    """Return few points of the moving average over a window of so many updates.

    The step of each point is the last one of its window.
    """
    means = moving_average(values_NK, rows_within(steps_N, updates))
    kept = thin(len(means))
    return steps_N[len(steps_N) - len(means) :][kept], means[kept]


def shares(weights_NK: Array) -> Array:
    """Return w / Σ|w| of each row: comparable between methods whose weights have other sums.

    A row of zeros, or one with a NaN, becomes NaN.
    """
    weights_NK = np.asarray(weights_NK, dtype=np.float64)
    sums_N1 = np.abs(weights_NK).sum(axis=1, keepdims=True)
    return weights_NK / np.where(sums_N1 > 0, sums_N1, np.nan)


def nan_mean(values: Array, axis: int) -> Array:
    """Return the mean of what is finite along an axis, NaN where nothing is."""
    finite = np.isfinite(values)
    counts = finite.sum(axis=axis)
    sums = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums, np.nan) / np.maximum(counts, 1)


def row_percentiles(values_NK: Array, percents: Sequence[float]) -> Array:
    """Return percentiles of what is finite in each row, (N, len(percents)), NaN where nothing is.

    As ``numpy.nanpercentile`` along axis 1, which takes a Python call for each row.
    """
    sorted_NK = np.sort(np.where(np.isfinite(values_NK), values_NK, np.nan), axis=1)
    last_N = np.isfinite(sorted_NK).sum(axis=1) - 1
    places_NQ = np.maximum(last_N, 0)[:, None] * (np.asarray(percents) / 100)
    low_NQ = np.floor(places_NQ).astype(int)
    high_NQ = np.minimum(low_NQ + 1, np.maximum(last_N, 0)[:, None])
    below_NQ, above_NQ = (np.take_along_axis(sorted_NK, at, axis=1) for at in (low_NQ, high_NQ))
    return below_NQ + (places_NQ - low_NQ) * (above_NQ - below_NQ)


def mean_and_sd(values: Sequence[Array]) -> tuple[Array, Array | None]:
    """Return mean and sample standard deviation of equal shapes; no deviation of a single one.

    Where one of them is NaN so are both: a mean over some of the seeds would carry a wrong n.
    """
    stacked = np.stack(values)
    deviation = stacked.std(axis=0, ddof=1) if len(stacked) > 1 else None
    return stacked.mean(axis=0), deviation


def epoch_series(lines: Sequence[dict[str, Any]], *keys: str) -> tuple[Array, Array]:
    """Return the epochs and the numbers under ``keys``, (E,) each; NaN for what isn't finite."""
    values = []
    for line in lines:
        value: Any = line
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        number = isinstance(value, int | float) and math.isfinite(value)
        values.append(value if number else np.nan)
    epochs = [line.get("epoch", index) for index, line in enumerate(lines, start=1)]
    return np.array(epochs), np.array(values, dtype=np.float64)
