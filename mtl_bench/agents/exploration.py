"""Exploration: the price of entropy, which tunes itself, and the noise of the agents' actions."""

from __future__ import annotations

from copy import deepcopy
from math import log
from typing import Any

import torch
from torch import Tensor, nn


class Temperature(nn.Module):
    """The factor alpha of the log-probability in the objectives of the critics and the actor.

    Haarnoja et al., 2018b, section 5. It rises while the policy's entropy is below its target and
    falls while it is above. Learned is log alpha, by Adam on -log alpha (log pi + target), as in
    the public implementations.

    Args:
        initial: alpha at first.
        target_entropy: the entropy that the policy is to have, in nats.
        learning_rate: of Adam.
    """

    def __init__(self, initial: float, target_entropy: float, learning_rate: float) -> None:
        super().__init__()
        self.target_entropy = target_entropy
        log_alpha = torch.tensor(log(initial), dtype=torch.float64)
        self.log_alpha = nn.Parameter(log_alpha, requires_grad=False)
        self._optimizer = torch.optim.Adam([self.log_alpha], lr=learning_rate, fused=True)

    def value(self) -> float:
        """Return alpha."""
        return self.log_alpha.exp().item()

    def update(self, entropy: float) -> None:
        """Take one step, given the policy's present entropy, -mean log pi."""
        self.log_alpha.grad = torch.full_like(self.log_alpha, entropy - self.target_entropy)
        self._optimizer.step()
        self.log_alpha.grad = None

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the optimiser."""
        return self._optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self._optimizer.load_state_dict(deepcopy(state))


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
