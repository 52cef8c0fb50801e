"""Where direct labels go, so that none covers another. All lengths share one unit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))

DISTANCES = (1.0, 2.5, 4.5)
"""Between a point and its label, in units of the nearest."""


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions in [low, high] with ``gap`` between neighbours, closest to the wanted ones.

    The least squares solution: with i the rank of a label, position - i gap must not fall, so it
    is the isotonic regression of wanted - i gap (pool adjacent violators). Where there is no room
    for the gap it shrinks.
    """
    count = len(wanted)
    if count > 1:
        gap = min(gap, (high - low) / (count - 1))
    order = sorted(range(count), key=lambda i: wanted[i])
    pools: list[tuple[float, int]] = []  # mean and number of labels
    for rank, index in enumerate(order):
        mean, size = wanted[index] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, size = (mean * size + other * others) / (size + others), size + others
        pools.append((mean, size))
    levels = [mean for mean, size in pools for _ in range(size)]
    top = high - max(count - 1, 0) * gap
    placed = [0.0] * count
    for rank, (index, level) in enumerate(zip(order, levels, strict=True)):
        placed[index] = min(max(level, low), top) + rank * gap
    return placed


def place_boxes(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    obstacles: Sequence[Box],
    reach: float,
) -> list[Box]:
    """Return a box beside each point that covers as little as possible.

    Greedy: each label in turn takes, of eight directions at three distances, the place with the
    least overlap with the obstacles, the boxes before it and the outside of the frame, a little
    more of it being worth a nearer place.

    Args:
        points: what the labels name.
        sizes: width and height of each label.
        frame: where labels may be.
        obstacles: what must stay visible, the points' markers among them.
        reach: distance between a point and its label at the nearest.
    """
    placed: list[Box] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        candidates = []
        for far, (across, up) in product(DISTANCES, DIRECTIONS):
            left = x + across * (reach * far + width / 2) - width / 2
            bottom = y + up * (reach * far + height / 2) - height / 2
            candidates.append((far, (left, bottom, left + width, bottom + height)))
        covered = [*obstacles, *placed]
        costs = [
            sum(overlap(box, other) for other in covered)
            + 4 * (width * height - overlap(box, frame))
            + 0.2 * height**2 * DISTANCES.index(far)
            for far, box in candidates
        ]
        placed.append(candidates[int(np.argmin(np.round(costs, 3)))][1])
    return placed


def overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
