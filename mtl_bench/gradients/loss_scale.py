"""A factor that keeps float16 gradients within their range."""

from __future__ import annotations

from typing import Any


class LossScale:
    """What losses are multiplied by before a backward pass in float16, and gradients divided by.

    Gradients below 6e-8 are zero in float16. A loss that is multiplied by s has gradients that are
    s times as large within the network; the gradients of parameters, which are float32, are divided
    by s before anything looks at them, so that norms, Gram matrix and methods see those of the loss
    itself. All T tasks have the same s, a power of 2, so that dividing is exact. It is halved where
    a gradient of any task overflows, and the update is made anew; it is doubled after ``patience``
    updates without. These are the rules of ``torch.amp.GradScaler``, which leaves such an update
    out instead.

    Args:
        value: s.
        patience: updates after which it is doubled.

    Example:
        >>> from mtl_bench.gradients import LossScale
        >>> scale = LossScale(4.0, patience=2)
        >>> scale.lower(), scale.value
        (True, 2.0)
        >>> scale.keep()
        >>> scale.keep()
        >>> scale.value
        4.0
    """

    def __init__(self, value: float = 2.0**16, patience: int = 2000) -> None:
        self.value, self.patience = value, patience
        self.since = 0
        """Updates since it has changed."""

    def lower(self) -> bool:
        """Halve it after an overflow; False at 1, where the losses' own gradients overflow."""
        if self.value <= 1:
            return False
        self.value, self.since = self.value / 2, 0
        return True

    def keep(self) -> None:
        """Count an update that was made."""
        self.since += 1
        if self.since == self.patience:
            self.value, self.since = 2 * self.value, 0

    def state_dict(self) -> dict[str, Any]:
        """Return factor and count."""
        return {"value": self.value, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.value, self.since = state["value"], state["since"]
