"""Exploration noise of the agents' actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SATURATED = 0.95
"""Share of the bound beyond which an action counts as saturated."""


class OrnsteinUhlenbeck(nn.Module):
    """Noise that wanders and is drawn back to zero, one independent process per agent.

    x <- x - theta x + sigma n with standard normal n (Lillicrap et al., 2015, in steps of one).
    The process starts at zero and is never reset: the whole training is one episode.

    Args:
        num_agents: T.
        theta: share of x that each step takes away.
        sigma: standard deviation of what each step adds.
    """

    state_T: Tensor

    def __init__(self, num_agents: int, theta: float = 0.15, sigma: float = 0.2) -> None:
        super().__init__()
        self.theta = theta
        self.sigma = sigma
        self.register_buffer("state_T", torch.zeros(num_agents, dtype=torch.float32))

    def sample(self, generator: torch.Generator) -> Tensor:
        """Take one step and return the (T,) state."""
        draws_T = torch.randn(self.state_T.shape, generator=generator, dtype=torch.float32)
        self.state_T.mul_(1 - self.theta).add_(draws_T, alpha=self.sigma)
        return self.state_T.clone()


def linear_decay(iteration: int, start: float, end: float, steps: int) -> float:
    """Return the noise scale: ``start`` at iteration 0, ``end`` from iteration ``steps`` on."""
    return start + (end - start) * min(iteration / steps, 1.0)


def saturation(actions_T: Tensor, bound: float | None) -> float:
    """Return the share of actions near the bound, 0 if there is none."""
    if bound is None:
        return 0.0
    return (actions_T.abs() > SATURATED * bound).sum().item() / len(actions_T)
