"""A training step on QM9 at the paper's size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.libmtl import libmtl_steps
from benchmarks.pyg_mpnn import PyGMPNN
from benchmarks.steps import MethodVariant, Problem, Step, adam, count_parameters
from benchmarks.torchjd import torchjd_step
from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.pyg import to_pyg
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.errors import MissingExtraError
from mtl_bench.gradients import TaskGradients

VARIANTS = {
    "taskforce loop": MethodVariant("taskforce", {"backend": "loop"}),
    "taskforce streamed": MethodVariant("taskforce", {"backend": "streamed"}),
    "taskforce representation": MethodVariant("taskforce", {"level": "representation"}),
    "taskforce same_batch": MethodVariant("taskforce", fields={"transition": "same_batch"}),
    "ls bf16": MethodVariant("ls", {"precision": "bf16"}),
    "taskforce bf16": MethodVariant("taskforce", {"precision": "bf16"}),
}


def problem(data: Path, profile: str = "paper", padded: bool = False) -> Problem:
    """Return a batch of real molecules on the MPNN, at the paper's size 120 of them.

    Peers: LS on PyG's layers with the same parameters, and TorchJD on our network.

    Args:
        data: folder of prepared data.
        profile: whose sizes.
        padded: whether molecules have the room of the largest.

    Raises:
        DataError: QM9 is not prepared.
    """
    dataset: Any = build_dataset("qm9", profile=profile, data=str(data), padded=padded)
    network = build_architecture("qm9", profile=profile)
    assert isinstance(network, MPNN)
    dim, edge_hidden = network.convolution.dim, network.convolution.hidden.out_features
    tasks = dataset.tasks

    def batches() -> Iterator[Any]:
        epoch = 1
        while True:
            yield from dataset.train_batches(epoch)
            epoch += 1

    def separate() -> SingleTask:
        names = [task.name for task in tasks]
        return SingleTask(names, partial(MPNN, dim=dim, edge_hidden=edge_hidden))

    def pyg() -> Step:
        return pyg_step(network, tasks)

    return Problem(
        name="qm9",
        dataset="qm9",
        title=f"QM9, MPNN with {count_parameters(network)} parameters, {len(tasks)} tasks, "
        f"batch {dataset.batch_size}",
        network=network,
        build_separate=separate,
        tasks=tasks,
        batches=batches(),
        variants=VARIANTS,
        peers={
            "ls_pyg": pyg,
            "TorchJD MGDA": partial(torchjd_step, network, tasks, "MGDA", None),
            "TorchJD UPGrad": partial(torchjd_step, network, tasks, "UPGrad", None),
            "TorchJD UPGrad in turn": partial(torchjd_step, network, tasks, "UPGrad", 1),
            **libmtl_steps(network, tasks),
        },
    )


def pyg_step(network: MPNN, tasks: Any) -> Step:  # noqa: ANN401 - tasks of QM9
    """Return LS on PyG's layers.

    Raises:
        MissingExtraError: torch-geometric is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch-geometric's own deprecations
            peer = PyGMPNN(network)
    except ImportError as error:
        raise MissingExtraError(
            "torch-geometric is missing: pip install 'mtl_bench[pyg]'"
        ) from error
    method, optimizer = build_method("ls", len(tasks)), adam(peer)
    shared = peer.shared_parameters()
    own = [peer.task_parameters(task.name) for task in tasks]

    def step(converted: tuple[Any, Any]) -> None:
        graph, targets = converted
        predictions = peer(graph)
        losses = [task.loss(predictions[task.name], targets[task.name]) for task in tasks]
        method.step(TaskGradients(losses, shared, own))
        optimizer.step()

    return Step(step, convert=lambda batch: (to_pyg(batch, "pairs"), batch.targets))
