"""What divides task gradients before they are compared.

Legend of shape suffixes: T tasks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Normalize = Literal["none", "l2", "loss", "loss+"]


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
