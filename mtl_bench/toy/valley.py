"""PCGrad's two tasks, each a deep curved valley.

Legend of shape suffixes: N points of the plane.
"""

from __future__ import annotations

from torch import Tensor

STARTS = ((0.5, -3.0),)
"""The point from which the paper's trajectories begin."""

SCALES = (20.0, 25.0)
FLOOR = 5e-6

OFFSET = 12.5
"""Added to both logarithms, which keeps the losses positive: -log ``FLOOR`` is 12.2."""


def losses(theta_N2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two losses, each of shape (N,).

    Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, appendix D and figure 1:

        L_1 = 20 log max(|θ_1 / 2 + tanh θ_2|, 5e-6),
        L_2 = 25 log max(|θ_1 / 2 - tanh θ_2 + 2|, 5e-6).

    Each is as deep as its floor along one curve, and steeper the nearer to it. The two curves meet
    at θ_1 = -2 where θ_2 goes to infinity; at θ_2 = 2 they are .15 apart. ``OFFSET`` is our
    addition: some methods need positive losses, and gradients don't see it.
    """
    across_N, along_N = theta_N2[..., 0], theta_N2[..., 1]
    first_N, second_N = across_N / 2 + along_N.tanh(), across_N / 2 - along_N.tanh() + 2
    return SCALES[0] * _depth(first_N), SCALES[1] * _depth(second_N)


def bottoms(along_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return θ_1 at the bottom of the first and of the second valley for some θ_2, (N,) each."""
    return -2 * along_N.tanh(), 2 * along_N.tanh() - 4


def _depth(distance_N: Tensor) -> Tensor:
    return distance_N.abs().clamp(min=FLOOR).log() + OFFSET
