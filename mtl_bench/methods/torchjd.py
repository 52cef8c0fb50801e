"""Weightings and aggregators of TorchJD, by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_bench.errors import ConfigError, MissingExtraError, NonFiniteError
from mtl_bench.methods.base import Method, StepInfo
from mtl_bench.seeding import seeded
from mtl_bench.values import HeadWeighting, Name

if TYPE_CHECKING:
    from types import ModuleType

    from mtl_bench.gradients import TaskGradients

SAVED = (Tensor, bool, int, float, str, type(None), torch.dtype, torch.device, tuple)
"""Types of attributes that are state; others (functions, projectors) are settings."""

PLAIN = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

TWO_BATCHES = "it needs the gradients of two independent batches, and a step shows it one"

REFUSED = {
    "NashMTL": "its state is of types that a checkpoint doesn't hold; method=nashmtl "
    "method.solver=ccp is the same algorithm",
    "MoDoWeighting": TWO_BATCHES,
    "SDMGradWeighting": TWO_BATCHES,
    "CRMOGMWeighting": "it wraps another weighting, which a configuration can't give it",
}
"""What TorchJD has and a run can't use, and why."""


class TorchJD(Method):
    """Hands the gradients to an aggregator of TorchJD, for instance ``UPGrad``.

    An aggregator that weighs gradients by their Gram matrix is asked for its weights, in float64;
    what they sum to depends on the aggregator. Any other gets the (T, P) gradients and returns the
    shared gradient; the weights that are reported are then ones, and the tasks' own gradients stay
    as they are. TorchJD draws from torch's global generators: here they are seeded from
    ``self.generator`` for the call and put back afterwards. Attributes that an aggregator changes
    are saved and loaded with the method.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: of the aggregator's random numbers.
        aggregator: name of a class in ``torchjd.aggregation``.
        arguments: what its constructor takes, for instance ``{pref_vector: [1, 1, 2]}``; lists
            become tensors of the Gram matrix's dtype, or the gradients'.

    Raises:
        MissingExtraError: TorchJD is not installed.
        ConfigError: it has no such class, or refuses the arguments; or the class is one of
            ``REFUSED``.

    Example:
        >>> import torch
        >>> from mtl_bench import TorchJD  # needs the extra torchjd
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> TorchJD(2, aggregator="UPGrad").weights(torch.ones(2), gram_TT)
        tensor([0.6250, 0.9998], dtype=torch.float64)
    """

    def __init__(
        self,
        num_tasks: int,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        aggregator: Name = "UPGrad",
        arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        kind = _find(aggregator)
        takes_gram = _takes_gram(kind)
        dtype = torch.float64 if takes_gram else torch.float32
        chosen = _build(kind, arguments or {}, dtype)
        weighting = getattr(chosen, "gramian_weighting", chosen) if takes_gram else chosen
        # kept in a list so that its buffers, which come and go, are no part of the state dict
        self._chosen: list[nn.Module] = [weighting]
        self.needs = "gram" if takes_gram else "grads"  # type: ignore[misc]
        self._returns_weights = takes_gram or aggregator.endswith("Weighting")

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Aggregate and write the gradients of every parameter.

        Raises:
            NonFiniteError: the gradients, or what TorchJD makes of them, are not finite.
        """
        if self._returns_weights:
            grads = gradients.gram() if self.needs == "gram" else gradients.jacobian()
            weights_T = self.weights(gradients.losses_T, grads)
            gradients.apply(weights_T, self.head_weights(weights_T))
            return StepInfo(weights_T)
        grads_TP = gradients.jacobian()
        self._finite_rows(grads_TP)
        gradient_P = self._call(grads_TP)
        if not bool(gradient_P.isfinite().all()):
            name = type(self._chosen[0]).__name__
            raise NonFiniteError(f"TorchJD: the gradient that {name} returns is not finite")
        gradients.apply_vector(gradient_P)
        return StepInfo(torch.ones(len(grads_TP), dtype=torch.float64))

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weighting's answer, (T,), float64 on the CPU wherever the gradients are.

        Args:
            losses_T: not used.
            gram_TT: what the weighting looks at: the Gram matrix, or the (T, P) gradients.

        Raises:
            NonFiniteError: that, or the answer, is not finite.
        """
        assert gram_TT is not None
        if self.needs == "gram":
            self.finite_gram(gram_TT)
        else:
            self._finite_rows(gram_TT)
        return torch.from_numpy(self.finite(self._call(gram_TT), "the weight"))

    def _finite_rows(self, grads_TP: Tensor) -> None:
        """Look at T sums, so that the gradients stay on their device."""
        self.finite(grads_TP.sum(dim=1), "the gradient")

    def _call(self, matrix: Tensor) -> Tensor:
        self._bring_to(matrix.device)
        seed = int(torch.randint(2**62, (), generator=self.generator))
        with torch.no_grad(), seeded(seed, matrix.device):
            try:
                answer: Tensor = self._chosen[0](matrix)
            except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
                raise NonFiniteError(
                    f"TorchJD: {type(self._chosen[0]).__name__}: {error}"
                ) from error
        return answer

    def _bring_to(self, device: torch.device) -> None:
        """Move what was made of a configuration, or loaded on the CPU, to the gradients."""
        for module in self._chosen[0].modules():
            for key, value in _attributes(module).items():
                if isinstance(value, Tensor) and value.device != device:
                    setattr(module, key, value.to(device))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the generator and of the aggregator."""
        states = [
            {k: v for k, v in _attributes(module).items() if isinstance(v, SAVED)}
            for module in self._chosen[0].modules()
        ]
        return super().get_extra_state() | {"aggregator": states}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        pairs = zip(self._chosen[0].modules(), state["aggregator"], strict=True)
        for module, values in pairs:
            for key, value in values.items():
                setattr(module, key, value.clone() if isinstance(value, Tensor) else value)


def _import() -> ModuleType:
    try:
        from torchjd import aggregation
    except ImportError as error:
        raise MissingExtraError(
            f"method=torchjd needs TorchJD ({error}): pip install 'mtl_bench[torchjd]'"
        ) from error
    return aggregation


def _find(name: str) -> type[nn.Module]:
    """Return an aggregator or weighting by name."""
    if name in REFUSED:
        raise ConfigError(f"method.aggregator={name} can't be used: {REFUSED[name]}")
    module = _import()
    abstract = {"Aggregator", "Weighting", "WeightedAggregator", "GramianWeightedAggregator"}
    names = sorted(set(module.__all__) - abstract - set(REFUSED))
    if name not in names:
        near = difflib.get_close_matches(name, names, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"method.aggregator={name}: TorchJD has no such aggregator; {hint}")
    found: type[nn.Module] = getattr(module, name)
    return found


def _takes_gram(kind: type[nn.Module]) -> bool:
    from torchjd.aggregation import GramianWeightedAggregator, UPGradWeighting

    gram_weighting = UPGradWeighting.__mro__[1]  # the base of weightings of Gram matrices
    return issubclass(kind, (GramianWeightedAggregator, gram_weighting))


def _build(kind: type[nn.Module], arguments: dict[str, Any], dtype: torch.dtype) -> nn.Module:
    """Build an aggregator or weighting, with lists as tensors of ``dtype``."""
    try:
        return kind(
            **{
                key: torch.tensor(value, dtype=dtype) if isinstance(value, list) else value
                for key, value in arguments.items()
            }
        )
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"method.aggregator={kind.__name__}, method.arguments={arguments}: {error}"
        ) from error


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes that are a module's own, and its buffers."""
    return {k: v for k, v in vars(module).items() if k not in PLAIN} | module._buffers
