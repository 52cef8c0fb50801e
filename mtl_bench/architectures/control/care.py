"""CARE: a mixture of encoders, chosen by what is known of the task.

Legend of shape suffixes: E members of an ensemble, T tasks, M encoders, B samples of a task, I
inputs, O outputs, Z numbers of an encoding, D numbers of a task's vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal, Self

import torch
from torch import Tensor, nn

from mtl_bench.architectures.control.base import ControlNetwork, Shape
from mtl_bench.architectures.control.layers import AffineLayers, Initialization
from mtl_bench.architectures.control.metadata import task_vectors
from mtl_bench.values import PositiveInt


class TaskEncoder(nn.Module):
    """Encodes observations by M encoders, whose shares depend on the task's context.

    Args:
        vectors_TD: of the tasks; None for a context that is learned.
        tasks: T.
        inputs: numbers of an observation.
        encoders: M.
        units: of every layer, Z among them.
        depth: hidden layers of an encoder.
        initialization: of the weights.
    """

    def __init__(
        self,
        vectors_TD: Tensor | None,
        tasks: int,
        inputs: int,
        *,
        encoders: int,
        units: int,
        depth: int,
        initialization: Initialization,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        sizes = [inputs, *[units] * depth, units]
        self.encoders = AffineLayers([(encoders,)] * (depth + 1), sizes, initialization)
        self.vectors_TD: Tensor | None
        self.register_buffer("vectors_TD", vectors_TD, persistent=False)
        first = units if vectors_TD is None else vectors_TD.shape[1]
        if vectors_TD is None:
            self.embeddings = nn.Parameter(torch.randn(1, tasks, 1, first))
        # one network of the task's vector, then a context network of two hidden layers
        sizes = [first, 2 * units, units, units, units, units]
        self.context = AffineLayers([(1,)] * (len(sizes) - 1), sizes, initialization)
        self.attention = AffineLayers([(1,)] * 3, [units, units, units, encoders], initialization)

    def forward(self, observations_TBI: Tensor) -> Tensor:
        """Return encoding and context, (T, B, 2Z)."""
        vectors = self.embeddings if self.vectors_TD is None else self.vectors_TD[None, :, None]
        context_1T1Z = self.context(vectors.relu() if self.vectors_TD is not None else vectors)
        shares_TM = self.attention(context_1T1Z.detach())[0, :, 0].softmax(dim=1)
        count = shares_TM.shape[1]
        encoded_MTBZ = self.encoders(observations_TBI.expand(count, *observations_TBI.shape))
        mixed_TBZ = torch.einsum("tm,mtbz->tbz", shares_TM, encoded_MTBZ)
        context_TBZ = context_1T1Z[0].expand(-1, mixed_TBZ.shape[1], -1)
        return torch.cat((mixed_TBZ, context_TBZ), dim=2)


class CARE(ControlNetwork):
    """An MLP on a mixture of encoders: z_t = [Σ_m a_tm encoder_m(s), context_t].

    Sodhani, Zhang and Pineau, Multi-Task Reinforcement Learning with Context-based Representations,
    2021, as in mtrl: context_t is made from what is known of task t, a_t = softmax(MLP(context_t))
    without a gradient to the context. Both critics read one encoder; the policy reads the critics'
    and passes no gradient to it. mtrl takes vectors of a language model; ours are TF-IDF vectors of
    one sentence per task unless a file has others.

    Args:
        tasks: names of the tasks.
        shape: what it is for.
        encoders: M.
        units: of the encoders' and the context's layers.
        depth: hidden layers of an encoder.
        metadata: ``sentences`` for what is known of the tasks, ``learned`` for an embedding.
        file: JSON of task -> sentence or task -> vector; null for our own sentences.
        hidden: units of the hidden ReLU layers behind the encoder.
        initialization: of the weights, see ``uniform_weights``.
    """

    encoder: TaskEncoder

    def __init__(
        self,
        tasks: Sequence[str],
        shape: Shape,
        *,
        encoders: PositiveInt = 6,
        units: PositiveInt = 50,
        depth: PositiveInt = 1,
        metadata: Literal["sentences", "learned"] = "sentences",
        file: str | None = None,
        hidden: Sequence[PositiveInt] = (400, 400, 400),
        initialization: Initialization = "xavier",
    ) -> None:
        super().__init__()
        self.members = shape.members
        known = metadata == "sentences"
        vectors_TD = torch.from_numpy(task_vectors(tasks, file)) if known else None
        encoder = TaskEncoder(
            vectors_TD,
            len(tasks),
            shape.observation,
            encoders=encoders,
            units=units,
            depth=depth,
            initialization=initialization,
        )
        self._lent: list[TaskEncoder] = []  # in a list: its parameters are the critics'
        if isinstance(shape.critics, CARE):
            self._lent.append(shape.critics.encoder)
        else:
            self.encoder = encoder
        actions = shape.inputs - shape.observation
        sizes = [2 * units + actions, *hidden, shape.outputs]
        bound = shape.output_bound if initialization == "he" else None
        rows = [(shape.members,)] * (len(hidden) + 1)
        self.layers = AffineLayers(rows, sizes, initialization, bound)

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""
        encoder = self._lent[0] if self._lent else self.encoder
        observations_TBI = inputs_TBI[..., : encoder.inputs]
        with torch.no_grad() if self._lent else nullcontext():
            encoded_TBZ = encoder(observations_TBI)
        values_TBZ = torch.cat((encoded_TBZ, inputs_TBI[..., encoder.inputs :]), dim=2)
        outputs: Tensor = self.layers(values_TBZ.expand(self.members, *values_TBZ.shape))
        return outputs

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast the critics' encoder too, which is no submodule."""
        for encoder in self._lent:
            encoder._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def task_specific(self, name: str) -> bool:
        """Tell whether it is the embedding of the tasks."""
        return name == "encoder.embeddings"
