"""What every learner is: networks with the optimisers that train them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import nn


class Learner(nn.Module):
    """A module whose state includes that of its optimisers."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, torch.optim.Adam] = {}

    def add_adam(self, name: str, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        """Make the Adam of some parameters; the state keeps it under the name."""
        self.optimizers[name] = torch.optim.Adam(parameters, lr=learning_rate, fused=True)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the states of all optimisers."""
        return {f"{name}_optimizer": o.state_dict() for name, o in self.optimizers.items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        state = deepcopy(state)  # the optimisers would go on writing into the loaded tensors
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[f"{name}_optimizer"])
