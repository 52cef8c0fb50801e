"""A loss weighting and a gradient method in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

import mtl_bench.methods
from mtl_bench.errors import ConfigError
from mtl_bench.methods.base import Method, StepInfo
from mtl_bench.values import PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


Weighting = Literal["UW", "DWA", "GLS", "RLW", "STCH"]
Combination = Literal[
    "PCGrad",
    "MGDA",
    "GradDrop",
    "CAGrad",
    "IMTL",
    "NashMTL",
    "AlignedMTL",
    "GradVac",
    "FairGrad",
    "UPGrad",
    "ConFIG",
    "SDMGrad",
]


class Composed(Method):
    """Weighs the losses by one method and combines the gradients of the weighted losses by another.

    The weighting sees the losses L_t and chooses w_t. The combination sees the losses w_t L_t and
    their gradients w_t g_t, and chooses v_t: the shared parameters get sum_t v_t w_t g_t, task t's
    own parameters w_t times what the combination gives them. The weights that are reported are
    v_t w_t. Gradient surgery on top of learned uncertainties is one example; ``GLS`` with
    ``{variant: log}`` is the logarithm of the losses that Lin et al. (Dual-Balancing for Multi-Task
    Learning, 2023) put before several gradient methods.

    Args:
        num_tasks: T.
        seed: of both.
        weighting: class of the loss weighting.
        combination: class of the gradient method.
        weighting_fields: its constructor's arguments where they are other than the class's own.
        combination_fields: the same of the combination.

    Raises:
        ConfigError: a constructor refuses its arguments.

    Example:
        >>> import torch
        >>> from mtl_bench import Composed
        >>> method = Composed(2, weighting="GLS", combination="PCGrad")
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]])
        >>> method.weights(torch.tensor([1.0, 4.0]), gram_TT)  # v is (1.0625, 5), w is (1, 1/4)
        tensor([1.0625, 1.2500], dtype=torch.float64)
    """

    made_of: ClassVar[dict[str, str]] = {
        "weighting": "weighting_fields",
        "combination": "combination_fields",
    }
    """Argument that names a method -> argument with that method's fields."""

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        seed: int = 0,
        weighting: Weighting = "UW",
        combination: Combination = "PCGrad",
        weighting_fields: dict[str, Any] | None = None,
        combination_fields: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(num_tasks, head_weighting="unweighted", seed=seed)
        self.weighting = _build("weighting", weighting, weighting_fields, num_tasks, seed)
        # another seed, or both would draw the same numbers
        self.combination = _build(
            "combination", combination, combination_fields, num_tasks, seed + 1
        )
        self.needs = self.combination.needs  # type: ignore[misc]

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: always."""
        return True

    @property
    def counts_epochs(self) -> bool:
        """Whether one of the two does anything at the end of an epoch."""
        return self.weighting.counts_epochs or self.combination.counts_epochs

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose the weights and write the gradients of every parameter.

        Raises:
            NonFiniteError: a loss or a gradient is not finite; nothing of it is remembered then.
        """
        from mtl_bench.gradients import WeightedGradients

        weights_T = self._loss_weights(gradients.losses_T, gradients.gram())
        info = self.combination.combine(WeightedGradients(gradients, weights_T))
        return StepInfo(weights_T * info.weights_T, info.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the products v_t w_t, (T,).

        Raises:
            NonFiniteError: a loss or an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        weights_T = self._loss_weights(losses_T, gram_TT)
        gram_TT = gram_TT.double() * weights_T[:, None] * weights_T
        return weights_T * self.combination.weights(weights_T * losses_T, gram_TT)

    def _loss_weights(self, losses_T: Tensor, gram_TT: Tensor) -> Tensor:
        """Return the w_t; what the combination would refuse is refused before they move."""
        self.finite_gram(gram_TT)
        for part in (self.weighting, self.combination):
            part.present, part.task_names = self.present, self.task_names
        return self.weighting.weights(losses_T).double()

    def end_epoch(self) -> None:
        """Take note that an epoch has ended."""
        self.weighting.end_epoch()
        self.combination.end_epoch()


def _build(
    role: str, name: str, fields: dict[str, Any] | None, num_tasks: int, seed: int
) -> Method:
    kind: type[Method] = getattr(mtl_bench.methods, name)
    try:
        return kind(num_tasks, seed=seed, **(fields or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"method.{role}={name}, method.{role}_fields={fields}: {error}"
        ) from error
