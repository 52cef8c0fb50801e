"""Task gradients of the representation that tasks share, instead of the parameters behind it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mtl_bench.gradients.autograd import differentiate, sum_present, write_gradients
from mtl_bench.gradients.cut import Cut
from mtl_bench.gradients.task_gradients import TaskGradients


class RepresentationGradients(TaskGradients):
    """T gradients of the representation Z; one backward pass takes the result on from there.

    Methods see dL_t/dZ where they would see dL_t/dθ, as in the upper-bound variant of MGDA (Sener
    and Koltun, NeurIPS 2018, section 3.3) and those of CAGrad, Aligned-MTL and others called UB or
    ``rep_grad``: one pass through the shared part instead of T. It is an approximation: weights
    and Gram matrix are others than those of the parameters' gradients, and P is the number of
    scalars of Z, batch included. Of several batches Z is what all of them share, side by side, and
    their graphs are kept at once.

    Args:
        losses: T scalar tensors, computed from the cuts' leaves.
        shared: parameters behind the representation.
        own: for each task, the parameters above it.
        cuts: the representation of every batch.
        tasks: see ``TaskGradients``.
        summed: likewise.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients import Cut, RepresentationGradients
        >>> theta = torch.tensor([2.0], requires_grad=True)
        >>> cut = Cut.at(theta * torch.tensor([1.0, 3.0]))
        >>> losses = [cut.leaf[0].square(), cut.leaf[1]]
        >>> gradients = RepresentationGradients(losses, [theta], [[], []], [cut])
        >>> gradients.gram()  # of dL/dz = (4, 0) and (0, 1)
        tensor([[16.,  0.],
                [ 0.,  1.]], dtype=torch.float64)
        >>> gradients.apply(torch.tensor([1.0, 1.0]))
        >>> theta.grad
        tensor([7.])
    """

    at_representation = True

    def __init__(
        self,
        losses: Sequence[Tensor],
        shared: Sequence[Tensor],
        own: Sequence[Sequence[Tensor]],
        cuts: Sequence[Cut],
        tasks: Sequence[int] | None = None,
        summed: Sequence[Tensor] = (),
    ) -> None:
        super().__init__(losses, [cut.leaf for cut in cuts], own, tasks=tasks, summed=summed)
        self._behind = [p for p in shared if p.requires_grad]
        self._outputs = [cut.output for cut in cuts]

    @property
    def parameters(self) -> list[Tensor]:
        """Those behind the representation."""
        return self._behind

    def last_layer_columns(self) -> Tensor:
        """Return the task gradients of the representation, (T, P): it is shared last."""
        return self.jacobian()

    def _write_shared(self, gradients: Sequence[Tensor | None]) -> None:
        passed = [
            differentiate(output, self._behind, direction)
            for output, direction in zip(self._outputs, gradients, strict=True)
            if direction is not None  # else no loss depends on this one
        ]
        totals = (
            map(sum_present, zip(*passed, strict=True)) if passed else len(self._behind) * [None]
        )
        write_gradients(self._behind, [*totals])
