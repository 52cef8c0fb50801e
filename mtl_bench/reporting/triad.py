"""Conflict, unequal gradients and curvature: what PCGrad's theory asks of two tasks' gradients.

Legend of shape suffixes: N updates, T tasks, P pairs of tasks, in the order of ``combinations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class PairStatistics(NamedTuple):
    """What Yu et al. (Gradient Surgery for Multi-Task Learning, 2020) measure of pairs of tasks.

    Args:
        similarity_NP: Φ, ``magnitude_similarity`` of their gradients (definition 2).
        bound_NP: ξ, ``curvature_bound`` of them (definition 5).
        known_NP: whether the update had both gradients.
        conflicting_NP: whether their cosine is below zero (definition 1).
        dominated_NP: whether condition (a) of theorem 2, cos <= -Φ, holds for a conflict.
        bounded_NP: whether ξ <= 1, which condition (b) of theorem 2 implies, holds for a conflict.
    """

    similarity_NP: Array
    bound_NP: Array
    known_NP: Array
    conflicting_NP: Array
    dominated_NP: Array
    bounded_NP: Array


class TriadShares(NamedTuple):
    """Means over the updates and pairs of a run; NaN where there is nothing to average.

    Args:
        conflicts: share of pairs that conflict.
        similarity: mean Φ.
        dominated: share of the conflicts under condition (a).
        bound: median ξ of the conflicts.
        bounded: share of the conflicts with ξ <= 1.
    """

    conflicts: float
    similarity: float
    dominated: float
    bound: float
    bounded: float


def pair_columns(tasks: Sequence[str]) -> list[str]:
    """Return the columns of the step log that ``pair_statistics`` reads."""
    cosines = [f"cosine/{first}/{second}" for first, second in combinations(tasks, 2)]
    return [*(f"gram/{task}" for task in tasks), *cosines]


def magnitude_similarity(first_squares: Array, second_squares: Array) -> Array:
    """Return Φ = 2 |g1| |g2| / (|g1|² + |g2|²), from 0 to 1; NaN where both are zero.

    Args:
        first_squares: |g1|².
        second_squares: |g2|².
    """
    largest = np.maximum(first_squares, second_squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(np.minimum(first_squares, second_squares) / largest)
    return 2 * ratio / (1 + ratio**2)


def curvature_bound(cosines: Array, similarity: Array) -> Array:
    """Return ξ = (1 - cos²) |g1 - g2|² / |g1 + g2|², NaN where the gradients cancel each other.

    As |g1 ± g2|² = (|g1|² + |g2|²) (1 ± Φ cos), it is a function of cosine and Φ alone.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bound: Array = (1 - cosines**2) * (1 - similarity * cosines) / (1 + similarity * cosines)
    return np.where(1 + similarity * cosines > 0, bound, np.nan)


def pair_statistics(values_NK: Array, tasks: int) -> PairStatistics:
    """Return the statistics of all pairs.

    Args:
        values_NK: the columns ``pair_columns``, first T squared norms and then P cosines. A pair of
            which one is NaN or a gradient is zero counts for nothing.
        tasks: T.
    """
    squares_NT, cosines_NP = values_NK[:, :tasks], values_NK[:, tasks:]
    pairs_P2 = np.array(list(combinations(range(tasks), 2))).reshape(-1, 2)
    first_NP, second_NP = squares_NT[:, pairs_P2[:, 0]], squares_NT[:, pairs_P2[:, 1]]
    known_NP = np.isfinite(cosines_NP) & (first_NP > 0) & (second_NP > 0)
    similarity_NP = np.where(known_NP, magnitude_similarity(first_NP, second_NP), np.nan)
    cosines_NP = np.where(known_NP, np.clip(cosines_NP, -1, 1), np.nan)
    bound_NP = curvature_bound(cosines_NP, similarity_NP)
    conflicting_NP = cosines_NP < 0
    return PairStatistics(
        similarity_NP,
        bound_NP,
        known_NP,
        conflicting_NP,
        conflicting_NP & (cosines_NP <= -similarity_NP),
        conflicting_NP & (bound_NP <= 1),
    )


def triad_shares(found: PairStatistics) -> TriadShares:
    """Return the means over all updates and pairs."""
    pairs, conflicts = int(found.known_NP.sum()), int(found.conflicting_NP.sum())
    bounds = found.bound_NP[found.conflicting_NP & np.isfinite(found.bound_NP)]
    return TriadShares(
        conflicts=_ratio(conflicts, pairs),
        similarity=_ratio(float(found.similarity_NP[found.known_NP].sum()), pairs),
        dominated=_ratio(int(found.dominated_NP.sum()), conflicts),
        bound=float(np.median(bounds)) if bounds.size else np.nan,
        bounded=_ratio(int(found.bounded_NP.sum()), conflicts),
    )


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else np.nan
