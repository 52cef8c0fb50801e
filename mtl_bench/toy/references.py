"""What learned policies of the game are held against: its optimum, equal and random weights.

Legend of shape suffixes: T tasks, A actions, S states on a grid, G grid points a side.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from mtl_bench.methods.equal import Equal
from mtl_bench.toy.game import Game

EDGE = 1.6
"""The grid covers the square of this half side; the game stays within it."""


class Random(Equal):
    """The softmax of actions drawn uniformly from -1 to 1."""

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return weights on the simplex, (T,)."""
        draws_T = torch.rand(self.num_tasks, generator=self.generator, dtype=torch.float64)
        return torch.softmax(2 * draws_T - 1, dim=0)


class FirstOrder(Equal):
    """The weights with the largest first-order drop of sum_t log(1 + L_t) on the step's own batch.

    The drop is linear in w: the best actions are in a corner of the box, 1 where a task's gradient
    helps more than the weighted mean and -1 where it helps less. It is what an agent would learn
    that is paid for the batch at hand and looks no further than the slope: it fits the noise of
    the batch, and steps too far where the rate is large.
    """

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return weights on the simplex, (T,)."""
        assert gram_TT is not None
        helps_T = gram_TT @ (1 / (1 + losses_T)) / gram_TT.diagonal().sqrt()
        order_T = helps_T.argsort(descending=True)
        corners_CT = torch.ones(self.num_tasks, self.num_tasks, dtype=torch.float64).tril() * 2 - 1
        choices_CT = torch.softmax(corners_CT, dim=1)  # the best 1, 2, ... tasks favoured
        best = (choices_CT @ helps_T[order_T]).argmax()
        weights_T = torch.empty_like(helps_T)
        weights_T[order_T] = choices_CT[best]
        return weights_T


class Optimal(Equal):
    """The weights with the largest discounted return, for one who knows theta and the tasks.

    Value iteration on the game without noise, over a grid of states and of actions within -1 and
    1; the weights at theta are then the best of one step ahead. The value of a state is the
    largest sum of gamma^k r_L, and with ``gamma`` 0 the policy is the greedy one.

    Args:
        game: the game that it will play; its theta is read at every step.
        gamma: discount.
        grid: G.
        levels: values that each action may take.
    """

    def __init__(self, game: Game, gamma: float = 0.95, grid: int = 31, levels: int = 5) -> None:
        super().__init__(game.num_tasks)
        self.game, self.gamma, self.grid = game, gamma, grid
        self.choices_AT = _weights_within_bound(game.num_tasks, levels)
        axis_G = torch.linspace(-EDGE, EDGE, grid, dtype=torch.float64)
        states_S2 = torch.cartesian_prod(axis_G, axis_G)
        self.values_S = torch.zeros(len(states_S2), dtype=torch.float64)
        next_SA2 = self._outcomes(states_S2)
        rewards_SA = game.log_loss(states_S2)[:, None] - self._log_loss(next_SA2)
        change = 1.0
        while change > 1e-6:
            values_S = (rewards_SA + gamma * self._interpolate(next_SA2)).amax(1)
            change = (values_S - self.values_S).abs().max().item()
            self.values_S = values_S

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return weights on the simplex, (T,)."""
        next_1A2 = self._outcomes(self.game.theta_2.detach()[None])
        returns_A = (self.gamma * self._interpolate(next_1A2) - self._log_loss(next_1A2))[0]
        return self.choices_AT[returns_A.argmax()]

    def _outcomes(self, states_S2: Tensor) -> Tensor:
        """Return where every action leads from every state, (S, A, 2)."""
        gradients_ST2 = self.game.gradients(states_S2)
        norms_ST1 = gradients_ST2.norm(dim=2, keepdim=True).clamp(min=1e-12)
        direction_SA2 = torch.einsum("at,stj->saj", self.choices_AT, gradients_ST2 / norms_ST1)
        return self.game.follow(states_S2[:, None], direction_SA2)

    def _log_loss(self, points_SA2: Tensor) -> Tensor:
        return self.game.log_loss(points_SA2.flatten(0, 1)).view(points_SA2.shape[:2])

    def _interpolate(self, points_SA2: Tensor) -> Tensor:
        """Return the values at some points, bilinear between those of the grid, (S, A)."""
        cells = (points_SA2 + EDGE) / (2 * EDGE) * (self.grid - 1)
        cells = cells.clamp(0, self.grid - 1 - 1e-9)
        corner = cells.long()
        x, y = (cells - corner).unbind(-1)
        i, j = corner.unbind(-1)
        v_GG = self.values_S.view(self.grid, self.grid)
        low = (1 - x) * v_GG[i, j] + x * v_GG[i + 1, j]
        high = (1 - x) * v_GG[i, j + 1] + x * v_GG[i + 1, j + 1]
        return (1 - y) * low + y * high


def _weights_within_bound(num_tasks: int, levels: int) -> Tensor:
    """Return the softmax of all actions on a grid from -1 to 1, each weight vector once, (A, T)."""
    values = torch.linspace(-1, 1, levels, dtype=torch.float64)
    distinct = {
        tuple(i - max(index) for i in index): index
        for index in product(range(levels), repeat=num_tasks)
    }
    return torch.stack([torch.softmax(values[list(i)], dim=0) for i in distinct.values()])
