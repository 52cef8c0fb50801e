"""Random loss weighting."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.methods.base import Method


class RLW(Method):
    """Draws new weights at every step: w = softmax(z), z ~ N(0, I); they sum to 1.

    Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022, Eq. 3 with the normal
    distribution. One code base (IGB) multiplies the weights by T; the others and this one do not.

    Example:
        >>> import torch
        >>> from mtl_bench import RLW
        >>> weights_T = RLW(2, seed=0).weights(torch.tensor([0.5, 2.0]))
        >>> weights_T.shape, round(weights_T.sum().item(), 6)
        (torch.Size([2]), 1.0)
    """

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: never."""
        return False

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the softmax of (T,) normal numbers."""
        noise_T = torch.randn(len(losses_T), generator=self.generator, dtype=torch.float64)
        return torch.softmax(noise_T, dim=0)
