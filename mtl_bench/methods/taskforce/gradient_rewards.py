"""The part of the agents' reward that a configuration chooses by name.

A reward is a class. Ours have short names; one of an added package is named by its path. T tasks;
everything is computed in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError

TANGENT_FROM = 0.1
"""Cosine below which Nash welfare goes on along the tangent of the logarithm."""


class AgentOutcome(NamedTuple):
    """What a transition is rewarded for, float64.

    Args:
        weights_T: w, the weights that the transition's actions led to.
        gram_TT: K, the inner products of the gradients that they were applied to.
        before_T: task losses of the transition's own observation.
        after_T: those of its next observation.
    """

    weights_T: Tensor
    gram_TT: Tensor
    before_T: Tensor
    after_T: Tensor


class GradientReward(ABC):
    """A reward r_G, which enters the agents' as lambda_L r_L + lambda_G r_G (Eq. 10)."""

    @abstractmethod
    def __call__(self, outcome: AgentOutcome) -> Tensor:
        """Return the reward of a transition, shape (), finite whatever the Gram matrix is."""


class NoReward(GradientReward):
    """Nothing: r_L alone."""

    def __call__(self, outcome: AgentOutcome) -> Tensor:
        """Return 0."""
        return torch.zeros((), dtype=torch.float64)


class MinNorm(GradientReward):
    """r_G = -||sum_t w_t g_t||^2 = -w' K w (Eq. 9, whose outer sum is a misprint)."""

    def __call__(self, outcome: AgentOutcome) -> Tensor:
        """Return the reward of a transition."""
        weights_T = outcome.weights_T
        return -(weights_T @ outcome.gram_TT @ weights_T)


class Impartial(GradientReward):
    """r_G^IMTL = -sum_{t>=2} (G (g_1 / ||g_1|| - g_t / ||g_t||))^2 (Eq. 23).

    No gradient is needed: with G = sum_s w_s g_s the projection of G on the direction of g_t is
    p_t = G g_t / ||g_t|| = sum_s w_s K_st / sqrt(K_tt) = (K w)_t / sqrt(K_tt), and the reward is
    -sum_{t>=2} (p_1 - p_t)^2. A gradient of zero has no direction: its projection counts as 0.
    As in the paper the first task is compared with every other one, so the order of the tasks
    matters.
    """

    def __call__(self, outcome: AgentOutcome) -> Tensor:
        """Return the reward of a transition."""
        norms_T = outcome.gram_TT.diagonal().sqrt()
        products_T = outcome.gram_TT @ outcome.weights_T
        projections_T = torch.where(norms_T > 0, products_T / norms_T, 0.0)
        return -(projections_T[0] - projections_T[1:]).square().sum()


class NashWelfare(GradientReward):
    """The gain in Nash welfare over equal weights, W(w, K) - W(1/T, K). Experimental.

    W = sum_t phi(cos(G, g_t)) with G = sum_t w_t g_t; phi(c) = log c for c >= 0.1 and the tangent
    of log at 0.1 below, so that a conflict is finite and always worth resolving. The product of the
    cosines is what Nash-MTL maximises (Navon et al., 2022). The reward depends on w and K alone:
    with lambda_L = 0 and gamma = 0 nothing of it is noise of mini-batches. A gradient of zero has
    no direction and adds nothing; where G is zero all cosines are.
    """

    def __call__(self, outcome: AgentOutcome) -> Tensor:
        """Return the reward of a transition."""
        equal_T = torch.full_like(outcome.weights_T, 1 / len(outcome.weights_T))
        return _welfare(outcome.weights_T, outcome.gram_TT) - _welfare(equal_T, outcome.gram_TT)


def _welfare(weights_T: Tensor, gram_TT: Tensor) -> Tensor:
    norms_T = gram_TT.diagonal().sqrt()
    products_T = gram_TT @ weights_T
    lengths_T = (weights_T @ products_T).clamp(min=0).sqrt() * norms_T  # ||G|| ||g_t||
    cosines_T = torch.where(lengths_T > 0, products_T / lengths_T, 0.0).clamp(-1, 1)
    tangent_T = cosines_T / TANGENT_FROM - 1 + log(TANGENT_FROM)
    curve_T = cosines_T.clamp(min=TANGENT_FROM).log()
    phi_T = torch.where(cosines_T < TANGENT_FROM, tangent_T, curve_T)
    return torch.where(norms_T > 0, phi_T, 0.0).sum()


REWARDS: dict[str, type[GradientReward]] = {
    "none": NoReward,
    "min_norm": MinNorm,
    "imtl": Impartial,
    "nash": NashWelfare,
}


def find_reward(name: str) -> GradientReward:
    """Build the reward of a name: one of ours, or ``package.module.Class`` of an added package.

    Raises:
        ConfigError: there is no such class, or it is from a package that adds no configs, or no
            GradientReward.
    """
    if name in REWARDS:
        return REWARDS[name]()
    from mtl_bench.config.groups import find_sources
    from mtl_bench.config.signatures import import_class

    packages = sorted(source.package for source in find_sources())
    if name.partition(".")[0] not in packages or "." not in name:
        allowed = ", ".join([*REWARDS, *(f"{package}.MODULE.CLASS" for package in packages)])
        raise ConfigError(f"method.gradient_reward={name}: must be one of {allowed}")
    kind = import_class(name)
    if not issubclass(kind, GradientReward):
        base = f"{GradientReward.__module__}.{GradientReward.__qualname__}"
        raise ConfigError(f"method.gradient_reward={name}: must be a subclass of {base}")
    try:
        return kind()
    except TypeError as error:
        raise ConfigError(f"method.gradient_reward={name}: {error}") from error
