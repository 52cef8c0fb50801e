"""The measurement of training steps, on a tiny network."""

from itertools import count

import pytest

from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.benchmarks.steps import Problem, Step, Variant, measure, render
from mtl_bench.errors import ConfigError
from tests.algorithms.test_batch_gradients import NAMES, TASKS, Norms, norms, points


def problem(**peers):
    class One(Norms):
        def __init__(self, tasks):
            super().__init__()

    return Problem(
        name="tiny",
        dataset="qm9",
        title="a tiny network",
        network=norms(),
        build_separate=lambda: SingleTask(NAMES, One),
        tasks=TASKS,
        batches=(points(seed) for seed in count()),
        variants={
            "mgda streamed": Variant("mgda", {"backend": "streamed"}),
            "taskforce same_batch": Variant("taskforce", fields={"transition": "same_batch"}),
        },
        peers=peers,
    )


def test_every_contestant_is_measured_in_every_round():
    seen = []
    peer = Step(seen.append, convert=lambda batch: len(batch.x))
    result = measure(problem(ls_peer=lambda: peer), 2, 1, [])
    assert {"ls", "stl", "taskforce", "mgda streamed", "ls_peer"} <= set(
        result["median_cpu_seconds"]
    )
    assert {len(seconds) for seconds in result["all_cpu_seconds"].values()} == {2}
    assert seen == [8, 8, 8]  # one round to warm up, and batches as the peer takes them
    assert result["relative_to_ls"]["ls"] == result["relative_to_ls_peer"]["ls_peer"] == 1
    assert "| ls_peer |" in render(result)


@pytest.mark.parametrize("only", [["ls", "mgda"], ["taskforce same_batch"]])
def test_some_contestants_alone(only):
    result = measure(problem(), 1, 1, only)
    assert list(result["median_cpu_seconds"]) == only
    assert ("relative_to_ls" in result) == ("ls" in only)
    result["peak_memory_of_each"] = dict.fromkeys(only, 2_000_000_000)
    assert "2.00 |" in render(result)


def test_an_unknown_contestant_is_named():
    with pytest.raises(ConfigError, match="only=lss: no such contestant; there are ls, alignedmtl"):
        measure(problem(), 1, 1, ["lss"])
