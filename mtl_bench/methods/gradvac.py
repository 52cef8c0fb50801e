"""Gradient vaccine."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.values import Fraction, HeadWeighting, PositiveInt

LARGEST_COSINE = 1 - 1e-6
"""The highest cosine that a correction aims at: at 1 it would have to be infinitely long."""


class GradVac(Method):
    """Turns each gradient towards the others until their cosines reach what they were on average.

    Wang et al., Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively
    Multilingual Models, ICLR 2021, Algorithm 1 and Eq. 3: for each task i, over the other tasks j
    in random order, with phi the cosine of g_i, as it is by now, and the original g_j, if phi is
    below the running mean m_ij,

        g_i += ||g_i|| (m sqrt(1 - phi^2) - phi sqrt(1 - m^2)) / (||g_j|| sqrt(1 - m^2)) g_j,

    and in any case m_ij = (1 - beta) m_ij + beta phi, from 0. The update is the sum of the g_i. A
    mean of 0 makes it PCGrad. All of it happens in the weights and the cosines; the weights have no
    fixed sum.

    The paper can keep a mean for every layer; here there is one for all shared parameters, as by
    default in LibMTL, which moves the mean only where it corrects, and draws the orders from a
    generator without a seed. The codes add 1e-8 to denominators; here a zero gradient takes no
    part, and m counts as 1 - 1e-6 at most.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: of the orders.
        beta: how much of a mean is renewed at each step.

    Example:
        >>> import torch
        >>> gram_TT = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
        >>> GradVac(2).weights(torch.ones(2), gram_TT).tolist()  # PCGrad at the first step
        [1.5, 1.5]
    """

    needs: ClassVar[Needs] = "gram"

    means_TT: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "unweighted",
        seed: int = 0,
        beta: Fraction = 0.5,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.beta = beta
        self.register_buffer("means_TT", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the summed weights of the corrected gradients, (T,), and move the means.

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite; the means stay as they are.
        """
        assert gram_TT is not None
        gram = self.finite_gram(gram_TT)
        tasks = self.active.numpy()
        noise = torch.rand(len(gram), len(gram), generator=self.generator, dtype=torch.float64)
        means = self.means_TT.numpy()
        corrected_TT, means[np.ix_(tasks, tasks)] = vaccinate(
            gram, noise.numpy().argsort(axis=1), means[np.ix_(tasks, tasks)], self.beta
        )
        return torch.from_numpy(corrected_TT.sum(axis=0))


def vaccinate(
    gram_TT: np.ndarray, orders_TT: np.ndarray, means_TT: np.ndarray, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corrected gradients as rows of weights and the new means, both (T, T).

    Args:
        gram_TT: K.
        orders_TT: row i is the order in which task i meets the others; i itself is passed over.
        means_TT: the running means of the cosines.
        beta: how much of them is renewed.
    """
    tasks_T = np.arange(len(gram_TT))
    norms_T = np.sqrt(np.maximum(gram_TT.diagonal(), 0.0))
    units_T = np.where(norms_T > 0, norms_T, 1.0)
    cosines_TT = gram_TT / units_T[:, None] / units_T
    rows_TT = np.eye(len(gram_TT))  # in units of ||g_i|| and of the gradients' directions
    products_TT = cosines_TT.copy()
    means_TT = means_TT.copy()
    for others_T in orders_TT.T:
        squares_T = np.einsum("ij,ij->i", rows_TT, products_TT)
        meets_T = (others_T != tasks_T) & (norms_T[others_T] > 0) & (squares_T > 0)
        i, j = tasks_T[meets_T], others_T[meets_T]
        lengths = np.sqrt(squares_T[i])
        cosines = np.clip(products_TT[i, j] / lengths, -1.0, 1.0)
        means = np.clip(means_TT[i, j], -LARGEST_COSINE, LARGEST_COSINE)
        sines = np.sqrt(1 - means**2)
        steps = lengths * (means * np.sqrt(1 - cosines**2) - cosines * sines) / sines
        steps = np.where(cosines < means, steps, 0.0)
        rows_TT[i, j] += steps
        products_TT[i] += steps[:, None] * cosines_TT[j]
        means_TT[i, j] = (1 - beta) * means_TT[i, j] + beta * cosines
    return rows_TT * units_T[:, None] / units_T, means_TT
