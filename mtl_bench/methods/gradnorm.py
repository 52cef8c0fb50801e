"""Gradient normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.methods.learned import LearnedVector
from mtl_bench.methods.log_losses import nonnegative
from mtl_bench.values import HeadWeighting, NonNegative, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients

SMALLEST_WEIGHT = 1e-3
"""What a weight is raised to after a step of Adam."""


class GradNorm(Method):
    """Learns weights with which slow tasks have long gradients: all tasks train at one rate.

    Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
    Networks, ICML 2018, Algorithm 1: with G_t = w_t ||g_t||, G their mean, and r_t the ratio
    L_t / (first loss of task t) divided by its mean over the tasks, Adam descends the w_t along
    the gradient of sum_t |G_t - G r_t^alpha|, where G r_t^alpha is a constant, and the weights are
    then scaled to the sum T.

    The paper takes the norms over the last shared layer, ``norms_of="last_layer"``: of its weight,
    without the bias. An update then takes T backward passes that stop there and one through the
    whole network. "shared" takes them over all shared parameters, as LibMTL does, or over the
    representation with ``gradients.level=representation``. LibMTL learns logits of
    weights with the network's optimiser and starts after the first epoch, whose mean losses are its
    denominators. Adam can make weights negative: here they are at least 0.001 before they are
    scaled.

    A task whose first loss is 0 has ratio 1. A task without labels keeps its weight.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        alpha: how strongly tasks are pulled to a common rate; 0 for equally long gradients.
        learning_rate: of the weights.
        norms_of: parameters that the norms are over.

    Example:
        >>> import torch
        >>> method = GradNorm(2)
        >>> gram_TT = torch.diag(torch.tensor([1.0, 100.0]))
        >>> method.weights(torch.ones(2), gram_TT).tolist()
        [1.0, 1.0]
        >>> w_T = method.weights(torch.ones(2), gram_TT)  # the shorter gradient gains
        >>> [round(w, 3) for w in w_T.tolist()]
        [1.025, 0.975]
    """

    needs: ClassVar[Needs] = "gram"

    first_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        alpha: NonNegative = 1.5,
        learning_rate: Positive = 0.025,
        norms_of: Literal["shared", "last_layer"] = "shared",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.alpha, self.norms_of = alpha, norms_of
        if norms_of == "last_layer":
            self.needs = "losses"  # type: ignore[misc]
        self.learned = LearnedVector(num_tasks, 1.0, learning_rate, lowest=SMALLEST_WEIGHT)
        self.register_buffer("first_T", torch.full((num_tasks,), -1.0, dtype=torch.float64))

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: always."""
        return True

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose the weights and write every parameter's gradient.

        Raises:
            NonFiniteError: as from ``weights``.
            ConfigError: there is no last shared layer, or it is not trained.
        """
        if self.norms_of == "shared":
            return super().combine(gradients)
        norms_T = self.finite(gradients.last_layer_norms(), "the norm of the last layer's gradient")
        weights_T = self._weigh(gradients.losses_T, torch.from_numpy(norms_T))
        gradients.apply(weights_T, self.head_weights(weights_T))
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights, (T,), and then move them.

        Raises:
            NonFiniteError: a loss is negative, or a loss or an entry of the Gram matrix is not
                finite; the weights stay as they are.
        """
        assert gram_TT is not None
        gram = self.finite_gram(gram_TT)
        return self._weigh(losses_T, torch.from_numpy(gram).diagonal().clamp(min=0).sqrt())

    def _weigh(self, losses_T: Tensor, norms_T: Tensor) -> Tensor:
        """Return the weights for gradients of these norms, and then move them."""
        losses_T = nonnegative(self, losses_T)
        tasks = self.active
        first_T = torch.where(self.first_T[tasks] < 0, losses_T, self.first_T[tasks])
        self.first_T[tasks] = first_T
        ratios_T = torch.where(first_T > 0, losses_T / first_T, 1.0)
        rates_T = ratios_T / ratios_T.mean() if ratios_T.any() else torch.ones_like(ratios_T)
        weights_T = self.of_present(self.learned.now())
        lengths_T = weights_T * norms_T
        signs_T = torch.sign(lengths_T - lengths_T.mean() * rates_T**self.alpha)
        self.learned.descend(signs_T * norms_T, self.present)
        values_T = self.learned.values_T.detach()
        moved_T = values_T[tasks]
        values_T[tasks] = moved_T * (weights_T.sum() / moved_T.sum())
        return weights_T
