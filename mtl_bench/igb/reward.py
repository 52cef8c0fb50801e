"""What the policy is rewarded for. T tasks; everything is computed in float64."""

from __future__ import annotations

from torch import Tensor


def improvement_reward(before_T: Tensor, after_T: Tensor, base_T: Tensor) -> float:
    """Return the relative drop of the loss that has improved least, min_t (before - after) / base.

    A task whose base is 0 had nothing to improve and does not count; the reward is 0 if none does.

    Args:
        before_T: task losses of one step.
        after_T: those of the next step, on another batch.
        base_T: what a drop is measured against, not negative.
    """
    drops_T = (before_T.double() - after_T.double()) / base_T.double()
    counted = drops_T[base_T > 0]
    return counted.min().item() if len(counted) else 0.0
