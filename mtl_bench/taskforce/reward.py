"""What the agents are rewarded for. T tasks; everything is computed in float64."""

from __future__ import annotations

from torch import Tensor


def loss_reward(before_T: Tensor, after_T: Tensor) -> float:
    """Return r_L, the drop of the summed log(1 + L) (Eq. 7).

    Args:
        before_T: task losses, not negative, of the transition's own observation.
        after_T: those of its next observation.
    """
    return (before_T.double().log1p().sum() - after_T.double().log1p().sum()).item()


def gradient_reward(weights_T: Tensor, gram_TT: Tensor) -> float:
    """Return r_G = -||sum_t w_t g_t||^2 = -w' K w (Eq. 9, whose outer sum is a misprint).

    Args:
        weights_T: w, the weights that the transition's actions led to.
        gram_TT: K, the inner products of the gradients that they were applied to.
    """
    weights_T = weights_T.double()
    return -(weights_T @ gram_TT.double() @ weights_T).item()
