from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_bench.datasets.cityscapes.tasks import cityscapes_tasks
from tests.metrics import dense
from tests.test_scores import misses, published

TASKS = cityscapes_tasks(19)
DIRECTIONS = {task.name: {m.name: m.higher_is_better for m in task.metrics} for task in TASKS}


def test_columns_of_the_published_table_and_its_single_task_row() -> None:
    table = published("table2_cityscapes.csv", DIRECTIONS)
    reference = {task.name: {m.name: m.reference for m in task.metrics} for task in TASKS}
    assert reference == table["STL"][0]
    assert max(m for m, _ in misses(table, DIRECTIONS).values()) < 0.72


@pytest.mark.parametrize("classes", [7, 19])
def test_losses_and_metrics_take_what_the_network_and_the_data_set_give(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = torch.randint(0, classes, (2, 4, 6))
    labels[0, :2] = 250
    batches = {
        "segmentation": (torch.randn(2, classes, 4, 6).log_softmax(1), labels),
        "instance": dense.tensors(dense.draw_offsets(rng, (2, 4, 6))),
        "disparity": dense.tensors(dense.draw_depth(rng, (2, 4, 6))),
    }
    tasks = cityscapes_tasks(classes)
    assert [task.name for task in tasks] == list(batches)
    for task in tasks:
        assert task.loss(*batches[task.name]) > 0
        accumulator = task.accumulator()
        accumulator.update(*batches[task.name])
        assert list(accumulator.compute()) == [metric.name for metric in task.metrics]
