"""Independent component alignment."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers.solution import Array, Solution
from mtl_bench.values import HeadWeighting, PositiveInt


class AlignedMTL(Method):
    """Makes the principal components of the gradient matrix equally long, then sums.

    Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, Algorithm
    1: with K = V diag(l) V', the balanced gradients are B G with B = s V diag(l^-1/2) V', so that
    their Gram matrix BKB has condition number 1; the weights are the row sums of B. They have no
    fixed sum and may be negative.

    ``scale_mode`` sets s^2: the smallest (``min``, the paper), lower median or mean (``rmse``)
    eigenvalue. As in the official code, eigenvalues up to T times float32's epsilon times the
    largest count as zero, since that is the precision of gradients; the decomposition itself is in
    float64. The official code leaves the tasks' own gradients unweighted, and a negative weight
    would make a head ascend, hence the default.

    If every gradient is zero the weights are 1, as a fallback.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        scale_mode: what s is.

    Example:
        >>> import torch
        >>> from mtl_bench import AlignedMTL
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> AlignedMTL(2).weights(torch.ones(2), gram_TT)
        tensor([0.6184, 1.1155], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "unweighted",
        seed: int = 0,
        scale_mode: Literal["min", "median", "rmse"] = "min",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.scale_mode = scale_mode

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the row sums of B, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        solution = _balance(self.finite_gram(gram_TT), self.scale_mode)
        return self.answer(solution)


def _balance(gram_TT: Array, scale_mode: str) -> Solution:
    """Return B 1; the residual is the rank that K lacks, as a share of T."""
    num_tasks = len(gram_TT)
    largest = gram_TT.diagonal().max()
    if largest <= 0:
        return Solution(np.ones(num_tasks), 0, 1.0, True)
    values_T, vectors_TT = np.linalg.eigh(gram_TT / largest)
    kept = values_T > values_T[-1] * num_tasks * np.finfo(np.float32).eps
    values_R, vectors_TR = values_T[kept], vectors_TT[:, kept]
    square = {
        "min": values_R[0],
        "median": values_R[(len(values_R) - 1) // 2],
        "rmse": values_R.mean(),
    }[scale_mode]
    weights_T = vectors_TR @ (np.sqrt(square / values_R) * vectors_TR.sum(axis=0))
    return Solution(weights_T, 1, 1 - len(values_R) / num_tasks, False)
