"""Where the tasks' graphs are cut from the shared part's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor


@dataclass(frozen=True)
class Cut:
    """The tensor in which all tasks meet, cut from what is computed from it.

    Args:
        output: the representation, with the graph of the shared part behind it.
        leaf: the same values as a leaf, where the graphs of the losses begin.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients import Cut
        >>> cut = Cut.at(torch.ones(3, requires_grad=True) * 2)
        >>> cut.leaf.is_leaf, torch.equal(cut.leaf, cut.output)
        (True, True)
    """

    output: Tensor
    leaf: Tensor

    @classmethod
    def at(cls, representation: Tensor) -> Self:
        """Cut behind a representation; predictions are then computed from ``leaf``."""
        return cls(representation, representation.detach().requires_grad_())
