"""Plain shapes that procedural pictures are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * x + y * y < 0.8


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) < 0.8


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.abs(x) < 0.55 * (y + 0.9)) & (y < 0.75)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.minimum(np.abs(x), np.abs(y)) < 0.3) & (np.maximum(np.abs(x), np.abs(y)) < 1)


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.7) < 0.28


SHAPES: tuple[Inside, ...] = (_disc, _square, _triangle, _cross, _ring)
"""Functions of coordinates within about [-1, 1]: which points lie inside."""


def hue(turn: np.ndarray | float) -> np.ndarray:
    """Return RGB colours from 0 to 1, (..., 3), of hues that are given as shares of a full turn.

    >>> hue(0.0).round(2).tolist()
    [1.0, 0.25, 0.25]
    """
    phase = 2 * np.pi * (np.asarray(turn)[..., None] - np.arange(3) / 3)
    return 0.5 + 0.5 * np.cos(phase)
