"""The policy of a soft actor-critic: a Gaussian, squashed by tanh into the actions' bounds.

Legend of shape suffixes: T tasks, B samples of a task, A action numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

LogStd = Literal["clip", "tanh"]


def sample_actions(
    outputs_TBM: Tensor,
    noise_TBA: Tensor,
    log_std_bounds: tuple[float, float],
    log_std: LogStd = "clip",
) -> tuple[Tensor, Tensor]:
    """Return actions a = tanh(u), u = μ + σ ε, and log π(a), (T, B).

    log π(a) = log N(u; μ, σ) - sum log(1 - tanh(u)²), where log(1 - tanh(u)²) =
    2 (log 2 - u - softplus(-2u)) holds for large |u| too. Haarnoja et al., Soft Actor-Critic
    Algorithms and Applications, 2018, appendix C.

    Args:
        outputs_TBM: μ and what log σ is made from, M = 2A.
        noise_TBA: ε, standard normal.
        log_std_bounds: of log σ.
        log_std: ``clip`` limits it to them, ``tanh`` spreads tanh of it between them.
    """
    mean_TBA, log_std_TBA = outputs_TBM.chunk(2, dim=-1)
    low, high = log_std_bounds
    if log_std == "tanh":
        log_std_TBA = low + (high - low) / 2 * (log_std_TBA.tanh() + 1)
    else:
        log_std_TBA = log_std_TBA.clamp(low, high)
    inner_TBA = mean_TBA + log_std_TBA.exp() * noise_TBA
    gaussian_TBA = -0.5 * noise_TBA.square() - log_std_TBA - 0.5 * math.log(2 * math.pi)
    squash_TBA = 2 * (math.log(2) - inner_TBA - softplus(-2 * inner_TBA))
    return inner_TBA.tanh(), (gaussian_TBA - squash_TBA).sum(dim=-1)


def best_actions(outputs_TBM: Tensor) -> Tensor:
    """Return tanh(μ), (T, B, A), what the policy does without noise."""
    return torch.tanh(outputs_TBM.chunk(2, dim=-1)[0])
