"""The multiple-gradient descent algorithm."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from mtl_bench.gradients.normalize import Normalize, normalize_gram, normalizers
from mtl_bench.methods.base import Method, Needs
from mtl_bench.methods.log_losses import nonnegative
from mtl_bench.solvers import solve_min_norm
from mtl_bench.values import HeadWeighting, PositiveInt


class MGDA(Method):
    """Takes the convex combination of gradients with the smallest norm: argmin w'Kw on the simplex.

    Désidéri 2012; Sener & Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS
    2018, Eq. 3. The weights sum to 1 (``scale`` "one") or T ("tasks", as in the Nash-MTL code).

    ``normalize`` divides the gradients before the problem is solved, and as in Sener & Koltun's
    code the weights then multiply the gradients as they were. (LibMTL multiplies the normalised
    ones.)

    The codes descend from one solver that stops at a change below 1e-5, or never, since it counts
    no iterations; here the active-set solution is exact (``solvers.min_norm``). If every gradient
    is zero the weights are equal.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        normalize: what divides a gradient: 1, its norm, the loss, or loss times norm.
        scale: what the weights sum to, 1 or the number of tasks in the step.

    Example:
        >>> import torch
        >>> from mtl_bench import MGDA
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> MGDA(2, scale="one").weights(torch.ones(2), gram_TT)
        tensor([0.2857, 0.7143], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        normalize: Normalize = "none",
        scale: Literal["one", "tasks"] = "tasks",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.normalize = normalize
        self.scale = scale

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: to normalise by them."""
        return self.normalize in ("loss", "loss+")

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the min-norm weights, (T,).

        Raises:
            NonFiniteError: a loss or an entry of the Gram matrix is not finite, or a loss negative
                that normalises.
        """
        assert gram_TT is not None
        self.finite(losses_T, "the loss")
        if self.reads_losses:
            nonnegative(self, losses_T)
        gram_TT = torch.from_numpy(self.finite_gram(gram_TT))
        normalized_TT = normalize_gram(gram_TT, normalizers(gram_TT, losses_T, self.normalize))
        weights_T = self.answer(solve_min_norm(normalized_TT.numpy()))
        return len(weights_T) * weights_T if self.scale == "tasks" else weights_T
