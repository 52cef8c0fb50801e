"""What the seconds of a step are said to be spent on."""

import time

import pyarrow.parquet as pq
import pytest
import torch

from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.config.identity import config_hash
from mtl_bench.methods import TaskForce
from mtl_bench.records.writer import record_path
from mtl_bench.training.run import run
from tests.training.runs import config_of


@pytest.mark.parametrize(("transition", "again"), [("next_batch", 0), ("same_batch", 1 + 1000)])
def test_the_seconds_of_a_step_are_those_of_its_phases(
    transition, again, tiny_data, tmp_path, monkeypatch
):
    """By a clock that moves only when the network, the method or the optimiser is called."""
    now = 0.0

    def slow(owner, name, seconds):
        original = getattr(owner, name)

        def called(*args, **kwargs):
            nonlocal now
            now += seconds
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, called)

    slow(MPNN, "representation", 1)
    slow(TaskForce, "combine", 10)
    slow(torch.optim.Adam, "step", 100)
    slow(TaskForce, "after_update", 1000)
    words = ("method=taskforce", f"method.transition={transition}", "trainer.epochs=1")
    config = config_of(tiny_data, tmp_path, *words, "method.batch_size=64")  # no agent learns yet
    with monkeypatch.context() as clock:
        clock.setattr(time, "perf_counter", lambda: now)
        run(config)
    (part,) = record_path(config, config_hash(config)).glob("steps/*.parquet")
    spent = {"forward": 1, "method": 10 + again, "optimizer": 100}
    for row in pq.read_table(part, columns=[f"seconds_{phase}" for phase in spent]).to_pylist():
        assert row == {f"seconds_{phase}": seconds for phase, seconds in spent.items()}
