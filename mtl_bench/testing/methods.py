"""The contract of a method.

Legend of shape suffixes: T tasks, P shared parameters.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from mtl_bench.errors import TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method, Needs, StepInfo

Build = Callable[[int], Method]
"""Builds the method for T tasks, the same one every time."""


def gram_of(rows: Sequence[Sequence[float]] | Tensor) -> Tensor:
    """Return the float64 Gram matrix of the rows of a (T, P) matrix."""
    rows_TP = torch.as_tensor(rows, dtype=torch.float64)
    return rows_TP @ rows_TP.T


GRAMS = {
    "identity": torch.eye(3),
    "rank one": torch.ones(3, 3),
    "one zero row": torch.diag(torch.tensor([0.0, 1.0, 2.0])),
    "all zero": torch.zeros(3, 3),
    "opposed": gram_of([[1, 0], [-1, 0], [0, 1]]),
    "opposed alone": gram_of([[2, 0], [-2, 0]]),
    "opposed, unequal": gram_of([[3, 0], [-1, 0], [0.5, 1]]),
    "duplicates": gram_of([[1, 2, 0], [1, 2, 0], [0, 1, -4]]),
    "cancelling": gram_of([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]),
    "more tasks than parameters": gram_of([[1, 2], [-3, 1], [0, 1], [2, -2], [5, 5]]),
    "tiny": 1e-10 * gram_of([[1, 2, 0], [0, 1, 1], [3, 0, -1]]),
    "tinier": 1e-20 * torch.eye(3),
    "huge": 1e15 * gram_of([[1, 2, 0], [0, 1, 1], [3, 0, -1]]),
    "beyond float32": 1e60 * torch.eye(3, dtype=torch.float64),
    "mixed": torch.diag(torch.tensor([1e-20, 1.0, 1e30])),
    "mixed and opposed": gram_of([[1e-10, 1e-10], [-1, 0], [0, -1e15]]),
    "barely conflicting": gram_of([[1, 1e-8], [-1, 1e-8], [1, 0]]),
    "float32 noise": (gram_of([[1, 2], [2, 4.0000002], [-1, -2]]).float() * 1.1).double(),
    "single": torch.tensor([[4.0]]),
    "single zero": torch.tensor([[0.0]]),
}
"""Gram matrices that a training can meet, the degenerate ones above all."""


def rounds(count: int, num_tasks: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield losses, (T,), and gradients, (T, P), as a training might show them."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        grads_TP = torch.randn(num_tasks, 40, generator=generator)
        yield torch.rand(num_tasks, generator=generator) + 0.1, grads_TP


def advance(method: Method, losses_T: Tensor, grads_TP: Tensor) -> tuple[StepInfo, Tensor]:
    """Feed one round to a method and return its answer and the shared gradient that it writes."""
    shared = torch.zeros(grads_TP.shape[1], requires_grad=True)
    losses = [
        loss + row @ shared - (row @ shared).detach()
        for loss, row in zip(losses_T, grads_TP, strict=True)
    ]
    info = method.step_with(TaskGradients(losses, [shared]))
    assert shared.grad is not None, f"{_name(method)} writes no gradient"
    return info, shared.grad


def as_plain(state: Any) -> Any:  # noqa: ANN401 - nested values
    """Return a state as nested lists that compare by value."""
    if isinstance(state, Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {key: as_plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [as_plain(value) for value in state]
    return state


def check_method(build: Build) -> None:
    """Check all that a method must keep whatever it does.

    Finite weights for every Gram matrix of ``GRAMS``, answers of the right shape, a state that goes
    on bit for bit after saving and loading, randomness from its own generator alone, and the same
    diagnostics at every step.

    Args:
        build: the class itself, or ``functools.partial(Class, field=value)``.

    Raises:
        AssertionError: something isn't kept; the line says what.
    """
    method = build(3)
    assert isinstance(method, Method), f"{_name(method)} is no Method"
    assert method.needs in get_args(Needs), f"{_name(method)}.needs = {method.needs!r}"
    assert method.separate_networks is type(method).separate_networks, (
        f"{_name(method)}.separate_networks is an attribute of the class: it says what is trained "
        "before the method is built"
    )
    if type(method).weights is not Method.weights:
        check_weights(build)
    check_answer(build)
    check_randomness(build)
    for steps in (0, 1, 7):
        check_state(build, steps)


def never(losses_T: Tensor, gram_TT: Tensor) -> bool:
    """No losses and no Gram matrix may be refused."""
    return False


def check_weights(build: Build, may_refuse: Callable[[Tensor, Tensor], bool] = never) -> None:
    """Check that weights and diagnostics are finite for every Gram matrix and any losses.

    Args:
        build: builds the method.
        may_refuse: whether the method may answer these losses and this Gram matrix with a
            TrainingError that names it.
    """
    for case, gram_TT in GRAMS.items():
        method = build(len(gram_TT))
        for step in range(6):
            losses_T = torch.full((len(gram_TT),), [0.0, 1e-8, 1.0, 1e8][step % 4])
            where = f"{_name(method)}, Gram matrix {case!r}, losses {losses_T.tolist()}"
            try:
                weights_T = method.weights(losses_T, gram_TT.double())
            except TrainingError as error:
                if may_refuse(losses_T, gram_TT) and _name(method).lower() in str(error).lower():
                    continue
                raise AssertionError(f"{where}: {error}") from error
            _check_vector(weights_T, len(gram_TT), where)
            for key, value in method.diagnostics.items():
                assert math.isfinite(value), f"{where}: diagnostic {key} is {value}"
            method.end_epoch()


def check_answer(build: Build) -> None:
    """Check what ``combine`` returns and writes, also for gradients that are all zero."""
    method = build(3)
    keys = []
    for losses_T, grads_TP in [*rounds(3, 3), (torch.ones(3), torch.zeros(3, 40))]:
        info, gradient_P = advance(method, losses_T, grads_TP)
        _check_vector(info.weights_T, 3, f"{_name(method)}.combine")
        assert gradient_P.isfinite().all(), f"{_name(method)} writes {gradient_P}"
        keys.append(set(info.diagnostics))
    assert all(names == keys[0] for names in keys), (
        f"{_name(method)} reports other diagnostics from step to step: {keys}; the step log has "
        "the same columns throughout"
    )


def check_state(build: Build, steps: int) -> None:
    """Check that a method that is saved after some steps and loaded goes on bit for bit."""
    original, restored = build(3), build(3)
    who = f"{_name(original)}, saved after {steps} steps and loaded"
    stream = list(rounds(steps + 9, 3))
    for step, game in enumerate(stream[:steps]):
        advance(original, *game)
        if step % 3 == 2:
            original.end_epoch()
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    advance(restored, *stream[-1])  # a past of its own, to be forgotten
    restored.load_state_dict(torch.load(file, weights_only=True))
    for step, game in enumerate(stream[steps:]):
        (info, gradient), (again, same) = advance(original, *game), advance(restored, *game)
        assert torch.equal(info.weights_T, again.weights_T), f"{who}: other weights"
        assert torch.equal(gradient, same), f"{who}: another gradient"
        assert info.diagnostics == again.diagnostics, f"{who}: other diagnostics"
        if step % 3 == 2:
            original.end_epoch()
            restored.end_epoch()
    states = as_plain(original.state_dict()), as_plain(restored.state_dict())
    assert states[0] == states[1], f"{who}: another state"


def check_randomness(build: Build) -> None:
    """Check that the global generators are left alone and that the seed decides everything."""
    before = _global_states()
    runs = []
    for _ in range(2):
        method = build(3)
        runs.append([advance(method, *game)[1].tolist() for game in rounds(3, 3)])
    assert runs[0] == runs[1], f"{_name(method)}: two of the same seed differ"
    assert _global_states() == before, (
        f"{_name(method)} draws from a global generator; self.generator is its own"
    )


def _global_states() -> tuple[Any, ...]:
    numpy_state = np.random.get_state()  # noqa: NPY002 - the one that others use
    return random.getstate(), str(numpy_state), torch.get_rng_state().tolist()


def _check_vector(weights_T: Tensor, num_tasks: int, where: str) -> None:
    shape = tuple(weights_T.shape)
    assert shape == (num_tasks,), f"{where}: weights of shape {shape} for {num_tasks} tasks"
    assert weights_T.isfinite().all(), f"{where}: weights {weights_T.tolist()}"


def _name(method: object) -> str:
    return type(method).__name__
