"""Conflict-free inverse gradients."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.solvers.solution import CERTIFIED, Array, Solution

CUTOFF = 1e-12
"""Eigenvalues of the cosines, relative to the largest, that count as zero."""


class ConFIG(Method):
    """Takes the direction with the same cosine to every gradient, as long as they project onto it.

    Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR
    2025, Eq. 2: with U the rows g_t / ||g_t|| and u the unit vector along pinv(U) 1,
    G = (sum_t g_t'u) u. The direction is that of IMTL-G for independent gradients, and the length
    is another. The weights have no fixed sum and can be negative.

    The code inverts the (T, P) matrix of unit gradients; here the same is done with the cosines. A
    gradient of zero has weight 0. Where the gradients are dependent, as they are at a
    Pareto-stationary point, it can be that no direction has the same cosine to all: pinv then comes
    as close as possible, which counts as a fallback. If that is no direction at all, the weights
    are 0. ConFIG with momentum is not here.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.

    Example:
        >>> import torch
        >>> gram_TT = torch.diag(torch.tensor([1.0, 9.0]))  # u = (1, 1) / √2, length 4 / √2
        >>> [round(w, 4) for w in ConFIG(2).weights(torch.ones(2), gram_TT).tolist()]
        [2.0, 0.6667]
    """

    needs: ClassVar[Needs] = "gram"

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights of the conflict-free update, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        return self.answer(equal_cosines(self.finite_gram(gram_TT)))


def equal_cosines(gram_TT: Array) -> Solution:
    """Return the weights of (sum_t g_t'u) u with u along pinv(U) 1.

    The residual is max_t |(Ca)_t - 1| with a = pinv(C) 1: the cosines to the update are equal but
    for this. The answer is a fallback above 1e-6, or if a gradient is zero.

    Args:
        gram_TT: K, positive semi-definite up to rounding.
    """
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    present = norms_T > 0
    weights_T = np.zeros(len(gram_TT))
    if not present.any():
        return Solution(weights_T, 0, 0.0, True)
    norms_S = norms_T[present]
    cosines_SS = gram_TT[np.ix_(present, present)] / norms_S[:, None] / norms_S
    inverse_SS = np.linalg.pinv(cosines_SS, rcond=CUTOFF, hermitian=True)
    a_S = inverse_SS.sum(axis=1)
    products_S = cosines_SS @ a_S
    square = float(a_S @ products_S)
    if square > CUTOFF * float(np.abs(a_S).sum()) ** 2:
        weights_T[present] = a_S / norms_S * (float(norms_S @ products_S) / square)
    residual = float(np.abs(products_S - 1).max())
    return Solution(weights_T, 1, residual, bool(residual > CERTIFIED or not present.all()))
