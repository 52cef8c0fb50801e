"""Uncertainty weighting."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_bench.methods.base import Method
from mtl_bench.methods.learned import LOG_RESOLUTION, LearnedVector
from mtl_bench.values import HeadWeighting, Positive, PositiveInt


class UW(Method):
    """Learns a log-variance s_t for each task together with the network.

    Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018. ``regression``
    minimises sum_t 1/2 (exp(-s_t) L_t + s_t) (Eq. 7), so that w_t = 1/2 exp(-s_t): the form of the
    Nash-MTL and MTAN codes (the latter starts at s_t = -0.5). ``classification`` minimises
    sum_t exp(-s_t) L_t + 1/2 s_t (Eq. 10), so that w_t = exp(-s_t): the form of the Aligned-MTL
    code. The weights have no fixed sum.

    The s_t of a loss of exactly 0 would fall for ever. It ends at -31.9, the logarithm of float32's
    squared rounding error, and w_t stays finite; losses above 2e-14 have their best s_t above that.

    The s_t have an Adam of their own with a constant learning rate. The codes put them into the
    network's optimiser, in a group with this rate, where the network's schedule lowers it too.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        form: the objective.
        learning_rate: of the s_t.
        initial_log_variance: where they start.

    Example:
        >>> import torch
        >>> from mtl_bench import UW
        >>> method = UW(2, learning_rate=0.1)
        >>> method.weights(torch.tensor([0.5, 2.0]))
        tensor([0.5000, 0.5000], dtype=torch.float64)
        >>> method.weights(torch.tensor([0.5, 2.0]))  # the log-variances have moved
        tensor([0.5526, 0.4524], dtype=torch.float64)
    """

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        form: Literal["regression", "classification"] = "regression",
        learning_rate: Positive = 0.025,
        initial_log_variance: float = 0.0,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.factor = 0.5 if form == "regression" else 1.0
        self.log_variances = LearnedVector(
            num_tasks, initial_log_variance, learning_rate, lowest=LOG_RESOLUTION
        )

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights, (T,), and then move the log-variances.

        Raises:
            NonFiniteError: a loss is not finite; the log-variances stay as they are.
        """
        losses_T = torch.from_numpy(self.finite(losses_T, "the loss"))
        weights_T = self.factor * torch.exp(-self.of_present(self.log_variances.now()))
        self.finite(weights_T, "the weight")
        self.log_variances.descend(0.5 - weights_T * losses_T, self.present)
        return weights_T
