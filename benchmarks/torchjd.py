"""Training steps by TorchJD on our networks: the peer of the gradient engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.steps import Step, adam
from mtl_bench.architectures.base import Architecture
from mtl_bench.errors import MissingExtraError
from mtl_bench.tasks import Task


def torchjd_step(
    network: Architecture, tasks: Sequence[Task], aggregator: str, chunk: int | None
) -> Step:
    """Return a step by TorchJD as its documentation has it.

    Args:
        network: with a representation it goes through ``mtl_backward``, else ``backward``.
        tasks: their losses.
        aggregator: name of an aggregator with default arguments.
        chunk: tasks that are differentiated at once; None for all.

    Raises:
        MissingExtraError: TorchJD is not installed.
    """
    try:
        from torchjd import aggregation, autojac
    except ImportError as error:
        raise MissingExtraError("TorchJD is missing: pip install 'mtl_bench[torchjd]'") from error
    aggregate = getattr(aggregation, aggregator)()
    optimizer = adam(network)
    shared = network.shared_parameters()
    own = [network.task_parameters(task.name) for task in tasks]

    def step(batch: Any) -> None:  # noqa: ANN401 - the network's own batch
        optimizer.zero_grad()
        if network.has_representation:
            z = network.representation(batch)
            predictions = network.predict(z, batch)
        else:
            predictions = network(batch)
        losses = [task.loss(predictions[task.name], batch.targets[task.name]) for task in tasks]
        if network.has_representation:
            autojac.mtl_backward(
                losses, z, tasks_params=own, shared_params=shared, parallel_chunk_size=chunk
            )
        else:
            everything = [*shared, *(p for parameters in own for p in parameters)]
            autojac.backward(losses, inputs=everything, parallel_chunk_size=chunk)
        jacobians = [p for p in shared if getattr(p, "jac", None) is not None]
        autojac.jac_to_grad(jacobians, aggregate, optimize_gramian_computation=True)
        for parameters in own:
            for p in parameters:  # without a representation these have Jacobians too
                if (jacobian := getattr(p, "jac", None)) is not None:
                    p.grad = jacobian.sum(dim=0)
                    delattr(p, "jac")
        optimizer.step()

    return Step(step)
