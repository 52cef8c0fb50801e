"""The contract of an architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_bench.architectures.base import Architecture


def check_architecture(network: Architecture, batch: Any, tasks: Sequence[str]) -> None:  # noqa: ANN401
    """Check predictions and the division into shared parameters and those of a task's own.

    A parameter in no list would never be trained, and one that several tasks reach would get the
    gradient of one of them only if it stood in a task's own list.

    Args:
        network: built for ``tasks``.
        batch: of its data set, with samples of every task.
        tasks: their names.

    Raises:
        AssertionError: something isn't kept; the line says what.
    """
    who = type(network).__name__
    names = {parameter: name for name, parameter in network.named_parameters()}
    own = {task: set(network.task_parameters(task)) for task in tasks}
    shared, summed = set(network.shared_parameters()), set(network.summed_parameters())
    every = [*network.shared_parameters(), *network.summed_parameters()]
    listed = Counter([*every, *network.own_parameters(tasks)])
    for parameter, name in names.items():
        assert listed[parameter] == 1, (
            f"{who}: {name} stands {listed[parameter]} times in shared_parameters(), "
            "summed_parameters() and task_parameters(task) together, not once"
        )
    predictions = network(batch)
    for task in tasks:
        assert task in predictions, f"{who} predicts {sorted(predictions)}, but not {task}"
        if hasattr(batch, "rows"):
            count = len(batch.targets[task])
            assert len(predictions[task]) == count, (
                f"{who} predicts {len(predictions[task])} rows of {task}, which has {count} samples"
            )
        reached = _reached(predictions[task], list(names))
        assert reached, f"{who}: the prediction of {task} has no gradient"
        others = [names[parameter] for parameter in reached - own[task] - shared - summed]
        assert not others, f"{who}: {task} reaches {others}, which are another task's own"
    if network.has_representation:
        below = _reached(network.representation(batch), list(names))
        trained = {parameter for parameter in shared if parameter.requires_grad}
        astray = [names[parameter] for parameter in below ^ trained]
        assert not astray, f"{who}: {astray} are shared or below the representation, but not both"


def _reached(output: Tensor, parameters: list[nn.Parameter]) -> set[nn.Parameter]:
    """Return the parameters that a tensor depends on."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = torch.autograd.grad(output.sum(), trained, retain_graph=True, allow_unused=True)
    return {p for p, g in zip(trained, gradients, strict=True) if g is not None}
