"""Dynamic weight average."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_bench.methods.base import Method
from mtl_bench.values import HeadWeighting, Positive, PositiveInt


class DWA(Method):
    """Weighs tasks by how slowly their losses fall: softmax(r / temperature), r_t = late / early.

    Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019, Eq. 7.

    ``epoch`` is the paper: r is the mean loss of the last epoch over that of the epoch before, the
    weights are 1 in the first two epochs and sum to T. ``window`` is what the Nash-MTL and
    Aligned-MTL codes do: r is the mean over the last ``window`` steps over that of as many steps
    before, the weights sum to 1 (the mean of the weighted losses is minimised). Where those codes
    fill the missing history with ones, here the weights stay equal until 2 ``window`` losses are
    known; only a task that has met no labels yet has a history of ones, which its first losses are
    compared with. A task whose earlier losses are all zero counts as r = 1.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        variant: which losses are compared.
        window: steps in one half of the window; not used by ``epoch``.
        temperature: 2 in the paper; the larger, the more equal the weights.

    Example:
        >>> import torch
        >>> from mtl_bench import DWA
        >>> method = DWA(2, window=1)
        >>> method.weights(torch.tensor([1.0, 1.0]))
        tensor([0.5000, 0.5000], dtype=torch.float64)
        >>> method.weights(torch.tensor([0.2, 1.0]))  # the second loss has not fallen
        tensor([0.4013, 0.5987], dtype=torch.float64)
    """

    window_WT: Tensor
    epoch_sum_T: Tensor
    epoch_means_2T: Tensor
    seen: Tensor
    seen_epochs: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        variant: Literal["window", "epoch"] = "window",
        window: PositiveInt = 25,
        temperature: Positive = 2.0,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.variant = variant
        self.window = window
        self.temperature = temperature
        for name, rows in (("window_WT", 2 * window), ("epoch_means_2T", 2)):
            self.register_buffer(name, torch.ones(rows, num_tasks, dtype=torch.float64))
        self.register_buffer("epoch_sum_T", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen_epochs", torch.zeros((), dtype=torch.int64))

    @property
    def counts_epochs(self) -> bool:
        """Whether it must be told of epochs: it compares their losses."""
        return self.variant == "epoch"

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Take in the losses and return the weights, (T,).

        Raises:
            NonFiniteError: a loss is not finite; it is not taken in.
        """
        losses_T = self._with_absent(torch.from_numpy(self.finite(losses_T, "the loss")))
        self.seen += 1
        if self.variant == "epoch":
            self.epoch_sum_T += losses_T
            if self.seen_epochs < 2:
                return self.of_present(torch.ones_like(losses_T))
            return self.of_present(self.num_tasks * self._softmax(*self.epoch_means_2T))
        self.window_WT.copy_(self.window_WT.roll(-1, 0))
        self.window_WT[-1] = losses_T
        if self.seen < 2 * self.window:
            return self.of_present(torch.full_like(losses_T, 1 / self.num_tasks))
        return self.of_present(self._softmax(*self.window_WT.view(2, self.window, -1).mean(dim=1)))

    def _with_absent(self, losses_S: Tensor) -> Tensor:
        """Return (T,) losses: of tasks without labels the last known one, or the epoch's mean."""
        if self.present is None:
            return losses_S
        if self.variant == "window":
            known_T = self.window_WT[-1].clone()
        elif self.seen > 0:
            known_T = self.epoch_sum_T / self.seen
        else:
            known_T = self.epoch_means_2T[1].clone()
        known_T[self.present] = losses_S
        return known_T

    def _softmax(self, early_T: Tensor, late_T: Tensor) -> Tensor:
        ratio_T = torch.where(early_T == 0, 1.0, late_T / early_T)
        return torch.softmax(ratio_T / self.temperature, dim=0)

    def end_epoch(self) -> None:
        """Take note that an epoch has ended."""
        if self.variant == "epoch" and self.seen > 0:
            self.epoch_means_2T.copy_(
                torch.stack([self.epoch_means_2T[1], self.epoch_sum_T / self.seen])
            )
            self.epoch_sum_T.zero_()
            self.seen.zero_()
            self.seen_epochs += 1
