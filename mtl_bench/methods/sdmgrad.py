"""Stochastic direction-oriented multi-objective gradient descent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers.solution import Array
from mtl_bench.values import Fraction, HeadWeighting, NonNegative, Positive, PositiveInt


class SDMGrad(Method):
    """Seeks the smallest combination of gradients, regularised towards their mean.

    Xiao et al., Direction-oriented Multi-objective Learning: Simple and Provable Stochastic
    Algorithms, NeurIPS 2023: w approaches the minimum of ||sum_t w_t g_t + lam g_0||^2 over the
    simplex, with g_0 the mean gradient, by ``iterations`` steps of projected gradient descent with
    momentum, which start at the w of the step before. The update is
    (sum_t w_t g_t + lam g_0) / (1 + lam), so that its weights sum to 1. lam 0 is MGDA, a large lam
    the mean.

    The paper multiplies the gradients of two independent batches for the descent of w and takes a
    third for the update, so that w is without bias. Here one batch serves for all, which is the
    paper's deterministic version and costs a third. As in the official code the Gram matrix is
    divided by the square of the mean norm. The momentum starts anew at each step, as there.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        lam: lambda, how strong the pull to the mean gradient is.
        learning_rate: of w.
        momentum: of w.
        iterations: steps of w for every step of the network.

    Example:
        >>> import torch
        >>> SDMGrad(2, lam=0.0).weights(torch.ones(2), torch.eye(2)).tolist()
        [0.5, 0.5]
    """

    needs: ClassVar[Needs] = "gram"

    simplex_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        lam: NonNegative = 0.3,
        learning_rate: Positive = 5.0,
        momentum: Fraction = 0.5,
        iterations: PositiveInt = 20,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.lam, self.learning_rate = lam, learning_rate
        self.momentum, self.iterations = momentum, iterations
        start_T = torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64)
        self.register_buffer("simplex_T", start_T)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return (w + lam / T) / (1 + lam), (T,), after w has moved.

        The tasks of a batch that lacks labels share what they had of w.

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite; w stays as it is.
        """
        assert gram_TT is not None
        gram = self.finite_gram(gram_TT)
        tasks = len(gram)
        scale = np.sqrt(np.maximum(gram.diagonal(), 0.0)).mean()
        gram = gram / scale / scale if scale > 0 else gram
        before_T = self.of_present(self.simplex_T)
        share = float(before_T.sum())
        w_T = before_T.numpy() / share if share > 0 else np.full(tasks, 1 / tasks)
        velocity_T = np.zeros(tasks)
        for _ in range(self.iterations):
            velocity_T = self.momentum * velocity_T + gram @ (w_T + self.lam / tasks)
            w_T = project_onto_simplex(w_T - self.learning_rate * velocity_T)
        self.simplex_T[self.active] = share * torch.from_numpy(w_T)
        return torch.from_numpy((w_T + self.lam / tasks) / (1 + self.lam))


def project_onto_simplex(point_T: Array) -> Array:
    """Return the nearest w >= 0 with sum 1 (Held et al. 1974)."""
    falling_T = np.sort(point_T)[::-1]
    excess_T = (falling_T.cumsum() - 1) / np.arange(1, len(point_T) + 1)
    return np.asarray(np.maximum(point_T - excess_T[falling_T > excess_T][-1], 0.0))
