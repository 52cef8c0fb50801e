"""Equal weights on normalised task gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mtl_bench.gradients.normalize import Normalize, normalizers
from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.methods.log_losses import nonnegative
from mtl_bench.values import HeadWeighting, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class Equal(Method):
    """Weighs normalised gradients alike: G = 1/S sum_t g_t / c_t over the S tasks of a step.

    The control of ``TaskForce``, which normalises gradients in the same way and chooses other
    weights than 1/S: agents are of use only if they do better than this. The tasks' own parameters
    have weight 1/S and no normaliser, as there. Where gradients are orthogonal, c_t = ||g_t|| gives
    the direction of Nash-MTL.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        normalize: c_t: 1, the gradient's norm, the loss, or loss times norm.

    Example:
        >>> import torch
        >>> from mtl_bench import Equal, TaskGradients
        >>> x = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> Equal(2).step(TaskGradients([3 * x[0], 4 * x[1]], [x], [[], []])).weights_T
        tensor([0.5000, 0.5000], dtype=torch.float64)
        >>> x.grad
        tensor([0.5000, 0.5000])
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        normalize: Normalize = "l2",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.normalize = normalize

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: to normalise by them."""
        return self.normalize in ("loss", "loss+")

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Write the gradients of every parameter; the weights are those of g_t / c_t.

        Raises:
            NonFiniteError: a loss or an entry of the Gram matrix is not finite.
        """
        weights_T = self.weights(gradients.losses_T, gradients.gram())
        scales_T = normalizers(gradients.gram(), gradients.losses_T, self.normalize)
        gradients.apply(weights_T / scales_T, self.head_weights(weights_T))
        return StepInfo(weights_T)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return 1/S for every task of the step, float64.

        Raises:
            NonFiniteError: a loss or an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        self.finite(losses_T, "the loss")
        if self.reads_losses:
            nonnegative(self, losses_T)
        self.finite_gram(gram_TT)
        return torch.full((len(losses_T),), 1 / len(losses_T), dtype=torch.float64)
