"""Smooth Tchebycheff scalarisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mtl_bench.methods.base import Method
from mtl_bench.methods.log_losses import log_losses
from mtl_bench.values import HeadWeighting, NonNegativeInt, Positive, PositiveInt


class STCH(Method):
    """Minimises a smooth maximum of the losses, each relative to what it was after a warm-up.

    Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024: the
    smooth maximum of f_t is mu log sum_t exp(f_t / mu). As in the official code for networks,
    f_t = log(L_t / n_t) and the objective is multiplied by T, so that

        w_t = T s_t / L_t    with    s = softmax(f / mu).

    n_t is the mean loss in the epoch numbered ``warmup_epochs``, counted from 0. Until that epoch
    has ended, the sum of the logarithms is minimised: w_t = 1 / L_t. The weights have no fixed sum.

    The code adds 1e-20 to the losses. Here a loss of exactly 0 has weight 0. A task that had no
    label in the epoch of the n_t is measured by its first loss after it.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        mu: how smooth the maximum is; the largest f_t alone counts as mu goes to 0.
        warmup_epochs: epochs before the one whose mean losses are the n_t.

    Example:
        >>> import torch
        >>> method = STCH(2, warmup_epochs=0)
        >>> method.weights(torch.tensor([1.0, 4.0])).tolist()
        [1.0, 0.25]
        >>> method.end_epoch()  # from now on losses count relative to 1 and 4
        >>> method.weights(torch.tensor([1.0, 4.0])).tolist()
        [1.0, 0.25]
    """

    epoch: Tensor
    sums_T: Tensor
    counts_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        mu: Positive = 1.0,
        warmup_epochs: NonNegativeInt = 4,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.mu, self.warmup_epochs = mu, warmup_epochs
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums_T", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("counts_T", torch.zeros(num_tasks, dtype=torch.float64))

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the derivatives of the objective by the losses, (T,).

        Raises:
            NonFiniteError: a loss is negative or not finite. Nothing of it is remembered then.
        """
        logs_T = log_losses(self, losses_T)
        epoch = int(self.epoch)
        if epoch >= self.warmup_epochs:
            tasks = self.active
            if epoch > self.warmup_epochs:
                new_T = self.counts_T[tasks] == 0
            else:
                new_T = torch.ones(len(tasks), dtype=torch.bool)
            self.sums_T[tasks[new_T]] += losses_T[new_T].double()
            self.counts_T[tasks[new_T]] += 1
        inverses_T = torch.where(logs_T > -torch.inf, torch.exp(-logs_T), 0.0)
        if epoch <= self.warmup_epochs:
            return inverses_T
        nadirs_T = self.of_present(self.sums_T / self.counts_T)
        relative_T = logs_T - torch.where(nadirs_T > 0, nadirs_T, 1.0).log()
        log_shares_T = torch.log_softmax(relative_T / self.mu, dim=0)
        weights_T = torch.exp(math.log(len(logs_T)) + log_shares_T - logs_T)
        return torch.where(logs_T > -torch.inf, weights_T, 0.0)

    def end_epoch(self) -> None:
        """Take note that an epoch has ended."""
        self.epoch += 1
