"""Cost of a training step on QM9: ours against PyG's layers, and TaskForce against LS."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.benchmarks.pyg_mpnn import PyGMPNN, pyg_graph
from mtl_bench.errors import DataError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method
from mtl_bench.training.environment import device_name, reuse_freed_memory

WARM_UP = 1


def measure(data: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Time whole training steps at the paper's sizes, interleaved, each round on its own batch.

    A step is forward pass, losses, gradients, method and Adam. The three contestants start from
    the same parameters and run in one process, so that its memory settings serve all of them.

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
    loss_only = build_method("ls", len(dataset.tasks))
    contestants: dict[str, tuple[Architecture, Method, Callable[[Any], Any]]] = {
        "ls": (network, loss_only, lambda batch: batch),
        "pyg_ls": (peer, loss_only, pyg_graph),
        "taskforce": (
            build_architecture("qm9"),
            build_method("taskforce", len(dataset.tasks), batch_size=2),
            lambda batch: batch,
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    optimizers = {
        name: torch.optim.Adam(entry[0].parameters(), 1e-3, fused=True)
        for name, entry in contestants.items()
    }
    for number, batch in enumerate(dataset.train_batches(epoch=1)):
        if number == WARM_UP + rounds:
            break
        for name, (model, method, convert) in contestants.items():
            inputs = convert(batch)
            begin = time.perf_counter()
            predictions = model(inputs)
            losses: list[Tensor] = [
                task.loss(predictions[task.name], batch.targets[task.name])
                for task in dataset.tasks
            ]
            own = [model.task_parameters(task.name) for task in dataset.tasks]
            method.step(TaskGradients(losses, model.shared_parameters(), own))
            optimizers[name].step()
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - begin)
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
        ]
    )
