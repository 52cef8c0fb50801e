"""The task gradients of one step, made on demand.

Legend of shape suffixes: T tasks, P shared parameters flattened into one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from mtl_bench.errors import TrainingError

if TYPE_CHECKING:
    from mtl_bench.architectures.base import Architecture

Backend = Literal["loop", "batched"]

GRAM_BLOCK = 1 << 20
"""Columns of the Jacobian that one float32 product of the Gram matrix covers."""


class TaskGradients:
    """T task losses that still carry their graphs, and what methods ask of their gradients.

    Nothing is differentiated before it is asked for: a method that only weighs losses pays for one
    backward pass, one that asks for the Gram matrix for T of them. The losses must be separate
    scalars, so that the backward pass of one task never enters another task's branch.

    Args:
        losses: T scalar tensors.
        shared: parameters of which every task may have a gradient; the Gram matrix is over these.
        own: for each task, the parameters that its loss alone reaches.
        forward: recomputes the T losses on the same batch with the present parameters.
        buffer: (T, P) tensor to keep the Jacobian in, reused from step to step.
        backend: ``loop`` runs one backward pass after the other and never enters another task's
            branch; ``batched`` runs all at once through the shared part, which pays where the
            network's own backward pass gains from it (see ``Architecture.batched_backward``).

    Frozen parameters (``requires_grad=False``) are left out: they count for nothing and get no
    gradient. A parameter that a task does not use has a zero gradient for that task.
    """

    def __init__(
        self,
        losses: Sequence[Tensor],
        shared: Sequence[Tensor],
        own: Sequence[Sequence[Tensor]],
        forward: Callable[[], Sequence[Tensor]] | None = None,
        buffer: Tensor | None = None,
        backend: Backend = "loop",
    ) -> None:
        if len(own) != len(losses):
            raise ValueError(f"{len(losses)} losses, but own parameters of {len(own)} tasks")
        self.losses = tuple(losses)
        self.losses_T = torch.stack([loss.detach() for loss in losses]).cpu()
        self.shared = [p for p in shared if p.requires_grad]
        self.own = [[p for p in parameters if p.requires_grad] for parameters in own]
        self._forward = forward
        self._buffer = buffer
        self._backend = backend
        self._jacobian_TP: Tensor | None = None
        self.known_gram_TT: Tensor | None = None
        self._own_gradients: list[tuple[Tensor | None, ...]] = []

    @property
    def num_shared(self) -> int:
        """P, the number of shared scalars that are trained."""
        return sum(p.numel() for p in self.shared)

    def jacobian(self) -> Tensor:
        """Return the (T, P) gradients over the shared parameters, in the order of ``shared``."""
        if self._jacobian_TP is None:
            self._jacobian_TP = self._differentiate()
        return self._jacobian_TP

    def gram(self) -> Tensor:
        """Return the (T, T) inner products of the task gradients, float64 on the CPU.

        Each block of columns is multiplied in the gradients' own precision; the blocks are added
        in float64. Computed once; ``known_gram_TT`` keeps it for the step log.
        """
        if self.known_gram_TT is not None:
            return self.known_gram_TT
        jacobian_TP = self.jacobian()
        gram_TT = torch.zeros(
            (len(self.losses),) * 2, dtype=torch.float64, device=jacobian_TP.device
        )
        for block in jacobian_TP.split(GRAM_BLOCK, dim=1):
            gram_TT += block @ block.T
        self.known_gram_TT = gram_TT.cpu()
        return self.known_gram_TT

    def apply(self, weights_T: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of every parameter.

        Args:
            weights_T: the shared parameters get sum_t weights_T[t] g_t.
            head_weights_T: task t's own parameters get head_weights_T[t] times their gradient;
                by default the same as ``weights_T``.
        """
        heads_T = weights_T if head_weights_T is None else head_weights_T
        if self._jacobian_TP is not None:
            self.apply_vector(weights_T.to(self._jacobian_TP) @ self._jacobian_TP, heads_T)
            return
        own = [p for parameters in self.own for p in parameters]
        if torch.equal(weights_T, heads_T):
            gradients = self._weighted_gradients(weights_T, self.shared + own, retain=False)
        else:
            gradients = self._weighted_gradients(weights_T, self.shared, retain=bool(own))
            gradients += self._weighted_gradients(heads_T, own, retain=False)
        for parameter, gradient in zip(self.shared + own, gradients, strict=True):
            _write_gradient(parameter, gradient)

    def apply_vector(self, gradient_P: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of the shared parameters from one vector, of the own ones as in apply.

        Args:
            gradient_P: what the shared parameters get, in the order of ``shared``.
            head_weights_T: factors of the tasks' own gradients, by default 1.
        """
        if gradient_P.numel() != self.num_shared:
            raise ValueError(f"gradient of {gradient_P.numel()} values for {self.num_shared}")
        self.jacobian()  # computes the own gradients on the way
        offset = 0
        for parameter in self.shared:
            end = offset + parameter.numel()
            _write_gradient(parameter, gradient_P[offset:end].view_as(parameter))
            offset = end
        factors = [1.0] * len(self.own) if head_weights_T is None else head_weights_T.tolist()
        for factor, parameters, own in zip(factors, self.own, self._own_gradients, strict=True):
            for parameter, gradient in zip(parameters, own, strict=True):
                _write_gradient(parameter, None if gradient is None else factor * gradient)

    def reevaluate(self) -> Tensor:
        """Return the (T,) losses on the same batch with the parameters as they are now."""
        if self._forward is None:
            raise TrainingError("these task gradients were made without a way to recompute losses")
        with torch.no_grad():
            return torch.stack(list(self._forward())).cpu()

    def _differentiate(self) -> Tensor:
        """Return the Jacobian, and keep the gradients of the tasks' own parameters on the way."""
        shape = (len(self.losses), self.num_shared)
        jacobian_TP = self._buffer
        if jacobian_TP is None or jacobian_TP.shape != shape:
            device = self.losses[0].device
            dtype = self.shared[0].dtype if self.shared else self.losses[0].dtype
            jacobian_TP = torch.empty(shape, device=device, dtype=dtype)
        if self._backend == "batched" and self.shared:
            self._differentiate_together(jacobian_TP)
        else:
            self._differentiate_in_turn(jacobian_TP)
        return jacobian_TP

    def _differentiate_in_turn(self, jacobian_TP: Tensor) -> None:
        last = len(self.losses) - 1
        for t, (loss, own) in enumerate(zip(self.losses, self.own, strict=True)):
            gradients = self._gradients(loss, self.shared + own, retain=t < last)
            offset = 0
            for parameter, gradient in zip(self.shared, gradients, strict=False):
                part = jacobian_TP[t, offset : offset + parameter.numel()]
                if gradient is None:
                    part.zero_()
                else:
                    part.copy_(gradient.reshape(-1))
                offset += parameter.numel()
            self._own_gradients.append(gradients[len(self.shared) :])

    def _differentiate_together(self, jacobian_TP: Tensor) -> None:
        losses_T = torch.stack(self.losses)

        def backward(direction_T: Tensor) -> tuple[Tensor, ...]:
            return torch.autograd.grad(
                losses_T, self.shared, direction_T, retain_graph=True, materialize_grads=True
            )

        gradients = torch.func.vmap(backward)(torch.eye(len(self.losses)).to(losses_T))
        offset = 0
        for parameter, gradient in zip(self.shared, gradients, strict=True):
            end = offset + parameter.numel()
            jacobian_TP[:, offset:end] = gradient.flatten(1)
            offset = end
        last = len(self.losses) - 1
        for t, (loss, own) in enumerate(zip(self.losses, self.own, strict=True)):
            self._own_gradients.append(self._gradients(loss, own, retain=t < last))

    def _weighted_gradients(
        self, weights_T: Tensor, parameters: list[Tensor], retain: bool
    ) -> tuple[Tensor | None, ...]:
        weights = weights_T.tolist()
        total = sum(w * loss for w, loss in zip(weights, self.losses, strict=True))
        assert isinstance(total, Tensor)
        return self._gradients(total, parameters, retain)

    @staticmethod
    def _gradients(
        loss: Tensor, parameters: list[Tensor], retain: bool
    ) -> tuple[Tensor | None, ...]:
        if not parameters or not loss.requires_grad:
            return (None,) * len(parameters)
        return torch.autograd.grad(loss, parameters, retain_graph=retain, allow_unused=True)


def _write_gradient(parameter: Tensor, gradient: Tensor | None) -> None:
    """Set ``.grad``, in the parameter's memory layout.

    ``torch.autograd.grad`` may answer with a transposed or sliced tensor. torch's fused optimisers
    on the CPU read memory in order without looking at strides: they would silently give one
    element the update of another.
    """
    if gradient is None:
        parameter.grad = torch.zeros_like(parameter)
    elif gradient.stride() == parameter.stride():
        parameter.grad = gradient
    else:
        parameter.grad = torch.empty_like(parameter).copy_(gradient)


def choose_backend(name: str, architecture: Architecture, device: torch.device) -> Backend:
    """Return the backend that ``gradients.backend`` names.

    ``auto`` takes ``batched`` for architectures that gain from it on a CPU, where that was
    measured, and ``loop`` elsewhere.
    """
    if name == "auto":
        return "batched" if architecture.batched_backward and device.type == "cpu" else "loop"
    return cast(Backend, name)
