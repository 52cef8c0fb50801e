"""The count of products by phase, on a small network."""

from itertools import repeat

import pytest
import torch
from torch.nn import functional

from benchmarks import phases
from benchmarks.phases import PHASES, count, render
from benchmarks.steps import Problem
from mtl_bench.architectures import products
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.tasks import Task
from tests.molecules import random_store

TASKS = tuple(Task(name, name, functional.mse_loss, (), lambda: None) for name in ("a", "b", "c"))
SIZES = (3, 7, 7)
ATOMS, PAIRS = sum(SIZES), sum(n * n for n in SIZES)


@pytest.mark.parametrize("amd", [False, torch.backends.mkldnn.is_available()])
def test_operations_are_those_of_the_closed_forms(monkeypatch, amd):
    monkeypatch.setattr(products, "is_amd_avx512", lambda: amd)
    monkeypatch.setattr(products, "ONEDNN_FLOATS", 0)
    monkeypatch.setattr(phases, "SQUARE", 8)
    names = [task.name for task in TASKS]
    network = MPNN(names, dim=8, edge_hidden=30)
    problem = Problem(
        name="small",
        dataset="qm9",
        title="a small network",
        network=network,
        build_separate=lambda: SingleTask(names, MPNN),
        tasks=TASKS,
        batches=repeat(random_store(SIZES, names).__getitems__(range(len(SIZES)))),
        variants={},
    )
    result = count(problem, 2, ["ls", "mgda"])
    through_weight, per_pair = 3 * 2 * ATOMS * 31 * 8 * 8, 3 * 2 * PAIRS * 31 * 8
    for method, tasks in (("ls", 1), ("mgda", 3)):
        counted = result["steps"][method]["phases"]
        once_more = amd and tasks > 1  # h W, which then serves all tasks
        assert [counted[phase]["operations"] for phase in PHASES[:-1]] == [
            2 * per_pair,
            through_weight,
            tasks * through_weight,
            (tasks + once_more) * through_weight,
            tasks * per_pair,
            tasks * per_pair,
        ]
    assert "| whole step |" in render(result)
