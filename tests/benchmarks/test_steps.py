"""The measurement of training steps, on a tiny network."""

import sys
from functools import partial
from importlib.util import find_spec
from itertools import count

import pytest

from benchmarks import solvers
from benchmarks.libmtl import WEIGHTINGS, libmtl_steps
from benchmarks.steps import MethodVariant, Problem, Step, measure, render
from benchmarks.torchjd import torchjd_step
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.errors import ConfigError, MissingExtraError
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
            "mgda streamed": MethodVariant("mgda", {"backend": "streamed"}),
            "taskforce same_batch": MethodVariant("taskforce", fields={"transition": "same_batch"}),
        },
        peers=peers,
    )


@pytest.mark.nightly
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


@pytest.fixture
def _bare(monkeypatch):
    """As without the extra torchjd; LibMTL is not installed with any."""
    if find_spec("LibMTL") is not None:
        pytest.skip("LibMTL is here")
    monkeypatch.setitem(sys.modules, "torchjd", None)


@pytest.mark.usefixtures("_bare")
@pytest.mark.nightly
def test_a_contestant_whose_package_is_missing_is_left_out_and_named():
    network = norms()
    peers = {
        "TorchJD MGDA": partial(torchjd_step, network, TASKS, "MGDA", None),
        **libmtl_steps(network, TASKS),
    }
    result = measure(problem(**peers), 1, 1, [])
    assert {"ls", "taskforce"} <= set(result["median_cpu_seconds"])
    left_out = {"torchjd", "TorchJD MGDA", *(f"LibMTL {name}" for name in WEIGHTINGS)}
    assert set(result["left_out"]) == left_out
    assert not left_out & set(result["median_cpu_seconds"])
    shown = render(result).splitlines()
    for name in left_out:
        assert any(
            line.startswith(f"left out: {name}: ") and "pip install " in line for line in shown
        )


@pytest.mark.usefixtures("_bare")
def test_a_contestant_that_was_asked_for_is_not_left_out():
    with pytest.raises(MissingExtraError, match=r"pip install 'mtl_bench\[torchjd\]'"):
        measure(problem(), 1, 1, ["ls", "torchjd"])


def test_a_solver_whose_package_is_missing_is_left_out_and_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    result = solvers.measure(1)
    measured = set(result["median_cpu_microseconds"]["independent"])
    assert measured == {"mgda", "cagrad", "nashmtl", "imtl", "pcgrad", "alignedmtl"}
    last = solvers.render(result).splitlines()[-1]
    assert last.startswith("left out: nashmtl, ccp: ")
    assert "pip install 'mtl_bench[nash-ccp]'" in last


def test_an_unknown_contestant_is_named():
    with pytest.raises(ConfigError, match="only=lss: no such contestant; there are ls, alignedmtl"):
        measure(problem(), 1, 1, ["lss"])
