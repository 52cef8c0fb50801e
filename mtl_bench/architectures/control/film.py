"""FiLM: the task scales and shifts the layers of an encoder of observations.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape
from mtl_bench.architectures.control.layers import AffineLayers, Initialization, affine
from mtl_bench.values import PositiveInt


class FiLM(ControlNetwork):
    """γ_tl relu(W_l x + b_l) + β_tl in layer l of an encoder, whose output an MLP reads.

    Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, 2018, as mtrl and
    metaworld-algorithms have it: γ_tl and β_tl are one number for each layer, made from an
    embedding of the task, which follows the encoder's output too. They act behind the ReLU, and the
    encoder's last layer has none: in front of it a β_tl below zero would leave a task no active
    unit. The embedding is learned and begins with a length of about 1, as in metaworld-algorithms;
    mtrl reads it from sentences. Here one linear layer makes the numbers, where the codes have a
    small MLP, and γ begins around 1.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        encoder: units of the encoder's layers.
        embedding: numbers of a task's embedding.
        hidden: units of the hidden ReLU layers behind the encoder.
        initialization: of the weights, see ``uniform_weights``.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        encoder: Sequence[PositiveInt] = (50, 50, 50),
        embedding: PositiveInt = 50,
        hidden: Sequence[PositiveInt] = (400, 400, 400),
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        self.members = members = shape.members
        alone = (members,)
        sizes = [shape.inputs, *encoder]
        self.encoder = AffineLayers([alone] * len(encoder), sizes, initialization)
        self.modulation = AffineLayers([alone], [embedding, 2 * len(encoder)], initialization)
        with torch.no_grad():
            self.modulation.biases[0][..., : len(encoder)] = 1  # γ begins around 1
        bound = shape.output_bound if initialization == "he" else None
        sizes = [encoder[-1] + embedding, *hidden, shape.outputs]
        self.layers = AffineLayers([alone] * (len(hidden) + 1), sizes, initialization, bound)
        self.embeddings = nn.Parameter(
            torch.randn(members, len(tasks), 1, embedding) / embedding**0.5
        )

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        count = len(self.encoder.weights)
        factors, shifts = self.modulation(self.embeddings).split(count, dim=3)
        values = inputs_TBI.expand(self.members, *inputs_TBI.shape)
        layers = zip(self.encoder.weights, self.encoder.biases, strict=True)
        for layer, (weight, bias) in enumerate(layers):
            here = slice(layer, layer + 1)
            values = affine(values, weight, bias)
            values = factors[..., here] * (values.relu() if layer + 1 < count else values)
            values = values + shifts[..., here]
        embeddings = self.embeddings.expand(-1, -1, inputs_TBI.shape[1], -1)
        outputs: Tensor = self.layers(torch.cat((values, embeddings), dim=3))
        return outputs

    def task_specific(self, name: str) -> bool:
        """Tell whether it is the embeddings."""
        return name == "embeddings"
