"""Projecting conflicting gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs
from mtl_bench.values import HeadWeighting, PositiveInt


class PCGrad(Method):
    """Removes from each gradient the parts that point against the others, then sums.

    Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, Algorithm 1: for each task i,
    over the other tasks j in random order, if g_i'g_j < 0 then g_i -= g_i'g_j / ||g_j||^2 g_j, with
    the original g_j. All of it happens in the weights and the Gram matrix; the weights have no
    fixed sum.

    ``permutation`` "each" draws an order for every i (paper, Nash-MTL code), "shared" one for all
    (Aligned-MTL code); "fixed" is always the order of the tasks. ``reduction`` is the sum of the
    projected gradients (Nash-MTL, Aligned-MTL, LibMTL) or their mean (CAGrad's code, up to a
    factor). The codes add between 1e-8 and 1e-5 to denominators; here a zero gradient is never
    projected onto, and no other division is at risk. The codes leave the tasks' own gradients
    unweighted, hence the default.

    ``part`` makes the paper's ablations: "direction" takes the direction alone, with the length of
    the sum (or mean) of the gradients as they were; "magnitude" the length alone, along that sum.
    Where one of the two sums is zero, the projected gradients are taken as they are.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: of the orders.
        permutation: one random order for each task or one for all, or the tasks' own.
        reduction: sum or mean.
        part: what of the projected gradients' sum is used.

    Example:
        >>> import torch
        >>> from mtl_bench import PCGrad
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> PCGrad(2).weights(torch.ones(2), gram_TT)
        tensor([1.2500, 2.0000], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "unweighted",
        seed: int = 0,
        permutation: Literal["each", "shared", "fixed"] = "each",
        reduction: Literal["sum", "mean"] = "sum",
        part: Literal["both", "direction", "magnitude"] = "both",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.permutation, self.reduction, self.part = permutation, reduction, part

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the summed weights of the projected gradients, (T,).

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        gram = self.finite_gram(gram_TT)
        projected_TT = project_conflicts(gram, self._orders(len(gram)))
        weights_T = projected_TT.sum(axis=0)
        if self.part != "both":
            length = np.sqrt(max(weights_T @ gram @ weights_T, 0.0))
            length_before = np.sqrt(max(gram.sum(), 0.0))
            if length > 0 and length_before > 0:
                direction_T = weights_T * (length_before / length)
                magnitude_T = np.full(len(gram), length / length_before)
                weights_T = direction_T if self.part == "direction" else magnitude_T
        return torch.from_numpy(weights_T / (len(gram) if self.reduction == "mean" else 1))

    def _orders(self, tasks: int) -> np.ndarray:
        if self.permutation == "fixed":
            return np.broadcast_to(np.arange(tasks), (tasks, tasks))
        rows = tasks if self.permutation == "each" else 1
        noise = torch.rand(rows, tasks, generator=self.generator, dtype=torch.float64)
        return np.broadcast_to(noise.numpy().argsort(axis=1), (tasks, tasks))


def project_conflicts(gram_TT: np.ndarray, orders_TT: np.ndarray) -> np.ndarray:
    """Return the projected gradients as rows of weights, (T, T).

    Args:
        gram_TT: K.
        orders_TT: row i is the order in which task i meets the others; i itself is passed over.
    """
    tasks_T = np.arange(len(gram_TT))
    squares_T = gram_TT.diagonal()
    weights_TT = np.eye(len(gram_TT))
    for others_T in orders_TT.T:
        products_T = np.einsum("ij,ij->i", weights_TT, gram_TT[others_T])
        meets_T = (products_T < 0) & (others_T != tasks_T) & (squares_T[others_T] > 0)
        rows, columns = tasks_T[meets_T], others_T[meets_T]
        weights_TT[rows, columns] -= products_T[meets_T] / squares_T[columns]
    return weights_TT
