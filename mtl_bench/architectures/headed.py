"""What networks with a head per task have in common."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mtl_bench.architectures.base import Architecture, predicted_rows


class HeadedNetwork(Architecture):
    """A network whose tasks' own parameters are those of ``heads[task]``; all else is shared."""

    heads: nn.ModuleDict

    def predict(self, representation: Tensor, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Return task -> what its head makes of its rows of the representation."""
        rows = predicted_rows(batch, list(self.heads))
        return {task: self.heads[task](representation[own]) for task, own in rows.items()}

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return every parameter outside the heads."""
        return [p for name, p in self.named_parameters() if not name.startswith("heads.")]

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters of one task's head."""
        return list(self.heads[task].parameters())
