"""A small game for TaskForce's agents whose best policy can be computed.

Legend of shape suffixes: T = 3 tasks, 2 coordinates, N steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method

SCALES = (1.0, 0.3, 0.1)
SQUEEZE = 0.6
TURN = 0.5
RATE = 0.02


class GameHistory(NamedTuple):
    """What happened: log-losses without noise after every step, weights, shares at the bound."""

    log_losses_N: Tensor
    weights_NT: Tensor
    saturated_N: Tensor


class Game:
    """Three quadratic tasks pull a point of the plane apart, and a spring pulls it back.

    L_t = s_t / 2 ||A_t (theta - c_t - sigma_t xi_t)||^2 with scales s = (1, 0.3, 0.1), centres c_t
    evenly around the origin, A_t that squeeze one direction, and standard normal xi_t, new at every
    step: the mini-batch. One xi_t moves the loss and the gradient of its task together, as another
    batch does. A step is theta <- theta - rate G, then theta <- (1 - spring) theta, so that the
    game never ends and has no first and last part.

    TaskForce divides gradients by their norms. With equal weights the three directions then cancel
    near the origin; the best policy follows the two tasks with larger losses and holds theta where
    sum_t log(1 + L_t) is about smallest. Its weights lie inside the range that actions within
    -1 and 1 allow.

    Args:
        noise: sigma, of all tasks or of each.
        seed: of the xi_t.
        rate: of the gradient steps.
        spring: share of theta that every step takes away.
    """

    def __init__(
        self,
        noise: float | Sequence[float] = 0.0,
        seed: int = 0,
        rate: float = RATE,
        spring: float = 0.01,
    ) -> None:
        self.rate, self.spring = rate, spring
        self.noise_T1 = torch.tensor(noise, dtype=torch.float64).reshape(-1, 1)
        self.generator = torch.Generator().manual_seed(seed)
        self.scales_T = torch.tensor(SCALES, dtype=torch.float64)
        angles_T = torch.arange(len(SCALES), dtype=torch.float64) * (2 * math.pi / len(SCALES))
        self.centres_T2 = _direction(angles_T)
        along_T2 = _direction(angles_T + TURN)
        across_T2 = along_T2.flip(1) * torch.tensor([-SQUEEZE, SQUEEZE], dtype=torch.float64)
        self.maps_T22 = torch.stack([along_T2, across_T2], dim=1)
        self.theta_2 = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))

    @property
    def num_tasks(self) -> int:
        """T."""
        return len(SCALES)

    def losses(self, points_N2: Tensor, shifts_T2: Tensor | float = 0.0) -> Tensor:
        """Return the (N, T) losses at some points, those without noise by default."""
        return self.scales_T / 2 * self._residuals(points_N2, shifts_T2).square().sum(2)

    def gradients(self, points_N2: Tensor) -> Tensor:
        """Return the (N, T, 2) gradients of the losses without noise."""
        residuals_NT2 = self._residuals(points_N2, 0.0)
        return self.scales_T[:, None] * torch.einsum("tij,nti->ntj", self.maps_T22, residuals_NT2)

    def log_loss(self, points_N2: Tensor) -> Tensor:
        """Return sum_t log(1 + L_t) without noise, (N,): what r_L is the drop of."""
        return self.losses(points_N2).log1p().sum(1)

    def step(self, method: Method) -> tuple[Tensor, dict[str, float]]:
        """Let a method make one step; return its weights and diagnostics."""
        shifts_T2 = self.noise_T1 * torch.randn(
            self.centres_T2.shape, generator=self.generator, dtype=torch.float64
        )

        def losses() -> list[Tensor]:
            return list(self.losses(self.theta_2[None], shifts_T2)[0])

        info = method.step(TaskGradients(losses(), [self.theta_2]))
        assert self.theta_2.grad is not None
        with torch.no_grad():
            self.theta_2.copy_(self.follow(self.theta_2, self.theta_2.grad))
        diagnostics = info.diagnostics | method.after_step([self.theta_2])
        if method.looks_again:
            again = TaskGradients(losses(), [self.theta_2])
            diagnostics = diagnostics | method.after_update(again)
        return info.weights_T, diagnostics

    def follow(self, points: Tensor, direction: Tensor) -> Tensor:
        """Return where a step along a combined gradient leads."""
        return (1 - self.spring) * (points - self.rate * direction)

    def play(self, method: Method, steps: int) -> GameHistory:
        """Let a method make N steps."""
        log_losses, weights, saturated = [], [], []
        for _ in range(steps):
            weights_T, diagnostics = self.step(method)
            log_losses.append(self.log_loss(self.theta_2.detach()[None]).item())
            weights.append(weights_T)
            saturated.append(diagnostics.get("saturated", 0.0))
        return GameHistory(torch.tensor(log_losses), torch.stack(weights), torch.tensor(saturated))

    def _residuals(self, points_N2: Tensor, shifts_T2: Tensor | float) -> Tensor:
        apart_NT2 = points_N2[:, None] - self.centres_T2 - shifts_T2
        return torch.einsum("tij,ntj->nti", self.maps_T22, apart_NT2)


def _direction(angles_T: Tensor) -> Tensor:
    return torch.stack([angles_T.cos(), angles_T.sin()], dim=1)
