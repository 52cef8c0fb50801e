"""What the agents see: the Gram matrix of the task gradients and the task losses.

Legend of shape suffixes: T tasks, O = T + 1 numbers that one agent observes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

import torch
from torch import Tensor

from mtl_bench.errors import NonFiniteError

Normalize = Literal["none", "l2", "loss", "loss+"]

LIMIT = 1e15
"""Largest magnitude of an observed value, so that its square is still finite in float32."""


def normalizers(gram_TT: Tensor, losses_T: Tensor, normalize: Normalize) -> Tensor:
    """Return the (T,) float64 numbers c_t that divide the task gradients.

    The four kinds are those of Sener & Koltun (2018): 1 (``none``), the norm of the gradient
    (``l2``), the loss (``loss``), their product (``loss+``). Where a number would be zero it is 1:
    a zero gradient stays zero, and the gradient of a zero loss stays as it is.

    Args:
        gram_TT: inner products of the task gradients.
        losses_T: task losses, not negative.
        normalize: the kind.
    """
    norms_T = gram_TT.diagonal().double().sqrt()
    if normalize == "none":
        return torch.ones_like(norms_T)
    if normalize == "l2":
        scales_T = norms_T
    else:
        scales_T = losses_T.double()
        if normalize == "loss+":
            scales_T = scales_T * norms_T
    return torch.where(scales_T == 0, 1.0, scales_T)


def normalize_gram(gram_TT: Tensor, scales_T: Tensor) -> Tensor:
    """Return the (T, T) inner products of the gradients g_t / c_t, from those of the g_t."""
    return gram_TT / scales_T[:, None] / scales_T  # two divisions: c_i c_j may underflow


def observe(gram_TT: Tensor, losses_T: Tensor) -> Tensor:
    """Return the (T, O) float32 observations (Eq. 5); row t is what agent t sees.

    Losses enter as log(1 + L) (appendix B). Values beyond ``LIMIT`` are clamped to it, which the
    paper doesn't mention; only ``none`` and ``loss`` normalisation can reach it.

    Args:
        gram_TT: inner products of the task gradients, normalised or not.
        losses_T: task losses, not negative.
    """
    columns = torch.cat([gram_TT.double(), losses_T.double().log1p()[:, None]], dim=1)
    return columns.clamp(-LIMIT, LIMIT).float()


def require_valid(losses_T: Tensor, gram_TT: Tensor, names: Sequence[str]) -> None:
    """Stop at numbers that would stay in the replay buffer and spoil the agents much later.

    Raises:
        NonFiniteError: a loss is negative, or a loss or gradient is not finite.
    """
    numbers = zip(names, losses_T.tolist(), gram_TT.diagonal().tolist(), strict=True)
    for task, loss, square in numbers:
        if not (0 <= loss < inf and square < inf):
            raise NonFiniteError(
                f"task {task}: loss {loss:g}, squared gradient norm {square:g}; taskforce takes "
                "finite losses that are not negative, and finite gradients"
            )
