"""The price of entropy, which tunes itself (Haarnoja et al., 2018b, section 5)."""

from __future__ import annotations

from copy import deepcopy
from math import log
from typing import Any

import torch
from torch import nn


class Temperature(nn.Module):
    """The factor alpha of the log-probability in the objectives of the critics and the actor.

    It rises while the policy's entropy is below its target and falls while it is above. Learned is
    log alpha, by Adam on -log alpha (log pi + target), as in the public implementations.

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
