"""Cost of a training step on QM9: ours against PyG's layers, and TaskForce against LS."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.benchmarks.pyg_mpnn import PyGMPNN, pyg_graph
from mtl_bench.errors import DataError
from mtl_bench.gradients import Backend, TaskGradients
from mtl_bench.methods.base import Method
from mtl_bench.tasks import Task
from mtl_bench.training.environment import device_name, reuse_freed_memory

WARM_UP = 1


class Contestant:
    """A network with a method and an optimiser of its own.

    Args:
        network: what is trained.
        method: what decides its updates.
        convert: from our batch to the network's; not timed.
        backend: of the task gradients.
    """

    def __init__(
        self,
        network: Architecture,
        method: Method,
        convert: Callable[[Any], Any] = lambda batch: batch,
        backend: Backend = "loop",
    ) -> None:
        self.network, self.method = network, method
        self.convert, self.backend = convert, backend
        self.optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def step(self, batch: Any, tasks: Sequence[Task]) -> float:  # noqa: ANN401
        """Make one training step and return its seconds."""
        inputs = self.convert(batch)
        begin = time.perf_counter()
        predictions = self.network(inputs)
        losses = [task.loss(predictions[task.name], batch.targets[task.name]) for task in tasks]
        own = [self.network.task_parameters(task.name) for task in tasks]
        shared = self.network.shared_parameters()
        self.method.step(TaskGradients(losses, shared, own, backend=self.backend))
        self.optimizer.step()
        return time.perf_counter() - begin


def measure(data: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Time whole training steps at the paper's sizes, interleaved, each round on its own batch.

    A step is forward pass, losses, gradients, method and Adam. The contestants start from the
    same parameters and run in one process, so that its memory settings serve all of them.

    Args:
        data: folder of prepared data.
        rounds: timed rounds after one that is not.
        threads: CPU threads.

    Raises:
        DataError: QM9 is not prepared, or torch-geometric is missing.
    """
    torch.set_num_threads(threads)
    reuse_freed_memory()
    dataset: Any = build_dataset("qm9", data=str(data))
    network = build_architecture("qm9")
    assert isinstance(network, MPNN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch-geometric's own deprecations
            peer = PyGMPNN(network)
    except ImportError as error:
        raise DataError("torch-geometric is missing: pip install 'mtl_bench[pyg]'") from error
    ls, taskforce = (
        build_method(name, len(dataset.tasks), **fields)
        for name, fields in (("ls", {}), ("taskforce", {"batch_size": 2}))
    )
    contestants = {
        "ls": Contestant(network, ls),
        "pyg_ls": Contestant(peer, ls, pyg_graph),
        "taskforce": Contestant(build_architecture("qm9"), taskforce, backend="batched"),
        "taskforce_loop": Contestant(build_architecture("qm9"), taskforce),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number, batch in enumerate(dataset.train_batches(epoch=1)):
        if number == WARM_UP + rounds:
            break
        for name, contestant in contestants.items():
            spent = contestant.step(batch, dataset.tasks)
            if number >= WARM_UP:
                seconds[name].append(spent)
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "ls_speedup_over_pyg": medians["pyg_ls"] / medians["ls"],
        "taskforce_over_ls": medians["taskforce"] / medians["ls"],
        "median_seconds": medians,
        "all_seconds": seconds,
        "batch_size": dataset.batch_size,
        "rounds": rounds,
        "threads": threads,
        "device": device_name(torch.device("cpu")),
        "torch": torch.__version__,
    }


def render(result: dict[str, Any]) -> str:
    """Return the measurement as a few lines of text."""
    seconds = result["median_seconds"]
    return "\n".join(
        [
            f"one training step on QM9, batch {result['batch_size']}, {result['device']}, "
            f"median of {result['rounds']} interleaved rounds:",
            f"  LS                 {seconds['ls']:8.3f} s",
            f"  LS on PyG's layers {seconds['pyg_ls']:8.3f} s   "
            f"x{result['ls_speedup_over_pyg']:.1f}",
            f"  TaskForce          {seconds['taskforce']:8.3f} s   "
            f"x{result['taskforce_over_ls']:.1f}",
            f"  TaskForce, loop    {seconds['taskforce_loop']:8.3f} s   "
            f"x{seconds['taskforce_loop'] / seconds['ls']:.1f}",
        ]
    )
