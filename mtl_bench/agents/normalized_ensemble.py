"""An ensemble of small networks that normalise some of their inputs.

Legend of shape suffixes: T networks, B transitions, I inputs, N of them normalised, M outputs, P
parameters of one network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_bench.agents.mlp_ensemble import ForwardCache, MLPEnsemble, Normalized

EPS = 1e-5


class NormalizedMLPEnsemble(MLPEnsemble):
    """Networks whose last inputs are scale * x^ + shift, x^ with mean 0 and variance 1.

    ``batch_norm`` takes mean and variance of each input over the batch, ``layer_norm`` those of
    each row over its inputs. Scale and shift are learned, one of each per network and input, and
    stand behind the other parameters in ``flat_TP``. There are no running statistics: the networks
    see whole batches alone.

    Args:
        num_networks: T.
        input_dim: I.
        hidden_dim: H.
        generator: draws the parameters, as ``MLPEnsemble`` does.
        kind: of the normalisation.
        first: number of the first input that is normalised.
    """

    def __init__(
        self,
        num_networks: int,
        input_dim: int,
        hidden_dim: int,
        generator: torch.Generator,
        kind: Literal["batch_norm", "layer_norm"],
        first: int,
    ) -> None:
        super().__init__(num_networks, input_dim, hidden_dim, generator)
        self._dim = 1 if kind == "batch_norm" else 2
        self._first = first
        self._count = input_dim - first
        own_TP = self.flat_TP.new_zeros(num_networks, 2 * self._count)
        own_TP[:, : self._count] = 1
        self.flat_TP.data = torch.cat([self.flat_TP.data, own_TP], dim=1)

    def forward(self, inputs_TBI: Tensor) -> ForwardCache:
        """Evaluate every network on its own inputs."""
        rest, values = inputs_TBI.tensor_split([self._first], dim=2)
        centred = values - values.mean(self._dim, keepdim=True)
        inverse = (centred.square().mean(self._dim, keepdim=True) + EPS).rsqrt()
        standard_TBN = centred * inverse
        scale_T1N, shift_T1N = self._own(self.flat_TP)
        normal_TBN = standard_TBN * scale_T1N + shift_T1N
        run = super().forward(torch.cat([rest, normal_TBN], dim=2))
        return run._replace(normalized=Normalized(standard_TBN, inverse))

    def parameter_gradients(self, run: ForwardCache, outputs_TBM: Tensor) -> Tensor:
        """Return the (T, P) gradients of the parameters."""
        gradient_TP = super().parameter_gradients(run, outputs_TBM)
        assert run.normalized is not None
        upstream_TBN = super().input_gradients(run, outputs_TBM)[..., self._first :]
        scale_T1N, shift_T1N = self._own(gradient_TP)
        scale_T1N.copy_((upstream_TBN * run.normalized.values_TBN).sum(1, keepdim=True))
        shift_T1N.copy_(upstream_TBN.sum(1, keepdim=True))
        return gradient_TP

    def input_gradients(self, run: ForwardCache, outputs_TBM: Tensor) -> Tensor:
        """Return the (T, B, I) gradients of the inputs, through mean and variance as well."""
        gradient_TBI = super().input_gradients(run, outputs_TBM)
        assert run.normalized is not None
        standard_TBN, inverse = run.normalized
        upstream_TBN = gradient_TBI[..., self._first :]
        upstream_TBN.mul_(self._own(self.flat_TP)[0])
        along = (upstream_TBN * standard_TBN).mean(self._dim, keepdim=True)
        upstream_TBN.sub_(upstream_TBN.mean(self._dim, keepdim=True))
        upstream_TBN.sub_(standard_TBN * along).mul_(inverse)
        return gradient_TBI

    def _own(self, flat_TP: Tensor) -> tuple[Tensor, Tensor]:
        """Return views of scale and shift, (T, 1, N)."""
        scale_TN, shift_TN = flat_TP[:, -2 * self._count :].split(self._count, dim=1)
        return scale_TN[:, None], shift_TN[:, None]
