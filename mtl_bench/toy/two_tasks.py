"""The two-task toy problem of the multi-task optimisation literature.

Legend of shape suffixes: N points of the plane.
"""

from __future__ import annotations

import torch
from torch import Tensor

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
"""The five points from which Nash-MTL's trajectories begin."""

OFFSET = 20.0
"""Added to both losses, which keeps them positive."""

FLOOR = 5e-6
MIRROR = (1.0, -1.0)


def losses(theta_N2: Tensor, scale: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return the two losses, each of shape (N,).

    Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021, appendix; the scale of the first
    loss is that of Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022. Above
    theta_2 = 0 both losses are logarithms with a narrow curved valley each, below it they are
    quadratic, and there lies the Pareto front. The second loss is the mirror image
    (theta_1 -> -theta_1) of the first, as in both official codes.

    ``OFFSET`` is our addition: logarithms and ratios of losses, which some methods use, need
    positive ones. Gradients don't see it.

    Args:
        theta_N2: points; the last dimension has two coordinates.
        scale: of the first loss.
    """
    first, second = (_one_loss(mirror * theta_N2[..., 0], theta_N2[..., 1]) for mirror in MIRROR)
    return scale * (first + OFFSET), second + OFFSET


def _one_loss(across_N: Tensor, along_N: Tensor) -> Tensor:
    valley_N = (0.5 * (-across_N - 7) - torch.tanh(-along_N)).abs().clamp(min=FLOOR).log() + 6
    bowl_N = _bowl(across_N, along_N)
    share_N = torch.tanh(0.5 * along_N)
    return torch.where(along_N >= 0, share_N * valley_N, -share_N * bowl_N)


def _bowl(across_N: Tensor, along_N: Tensor) -> Tensor:
    return ((across_N - 7).square() + 0.1 * (along_N + 8).square()) / 10 - 20


def pareto_front(count: int = 201) -> Tensor:
    """Return points of the Pareto front, (N, 2), from the second task's minimum to the first's.

    Below theta_2 = 0 a weighted sum u L_1 + (1 - u) L_2 is smallest at theta_1 = 14 u - 7 whatever
    theta_2 is; theta_2 then solves an equation in one variable, here by Newton's method.
    """
    share_N = torch.linspace(0, 1, count, dtype=torch.float64)
    across_N = 14 * share_N - 7
    apart_N = (share_N * (across_N - 7).square() + (1 - share_N) * (across_N + 7).square()) / 10
    along_N = torch.full_like(across_N, -8.0)
    for _ in range(20):
        tanh_N = torch.tanh(-0.5 * along_N)
        slope_N = -0.5 * (1 - tanh_N.square())
        bowl_N = apart_N + (along_N + 8).square() / 100 - 20
        first_N = (along_N + 8) / 50 * tanh_N + bowl_N * slope_N
        second_N = tanh_N / 50 + (along_N + 8) / 25 * slope_N + bowl_N * tanh_N * slope_N
        along_N = along_N - first_N / second_N
    return torch.stack([across_N, along_N], dim=1)
