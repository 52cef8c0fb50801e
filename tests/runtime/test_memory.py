"""Memory stays flat however long a training lasts."""

import gc
import sys
from typing import NamedTuple

import pytest
import torch
from torch import nn

from mtl_bench.records.writer import RunRecord
from tests.methods.streams import METHODS, Network, build
from tests.training.runs import Watcher, smallest, trainer_of

FIRST, LAST = 600, 900
"""Steps after which is looked. All buffers are full by the first, and caches nearly so."""

SMALL = {
    "igbv2": {
        **{"base_epoch": 0, "random_epochs": 1, "update_after_epochs": 1, "update_every": 10},
        **{"batch_size": 4, "buffer_size": 50, "hidden_dim": 8},
    },
    "taskforce": {"buffer_size": 50},
    "dwa": {"variant": "epoch"},
    "imtl": {"variant": "hybrid"},
    "stch": {"warmup_epochs": 0},
    "torchjd": {"aggregator": "GradVac"},
}
"""Fields that fill buffers and begin all that a method does before the first look."""


class Alive(NamedTuple):
    """What is alive: tensors, bytes of their storages, and blocks of Python's small objects."""

    tensors: int
    size: int
    blocks: int


def alive():
    gc.collect()
    kinds = (torch.Tensor, nn.Parameter)  # others are of another test, and have no storage
    found = [o for o in gc.get_objects() if type(o) in kinds]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}
    return Alive(len(found), sum(storages.values()), sys.getallocatedblocks())


def assert_flat(step, first, last, each=1):
    """Make ``last`` steps and compare what is alive after them with what was after ``first``.

    What a step left behind would be ``each`` blocks or more every time: one at least, and many if
    it is a row of the step log. Caches inside packages add fewer, and fewer and fewer.
    """
    more = last - first
    for number in range(1, first + 1):
        step(number)
    found = [alive()]
    for number in range(first + 1, last + more + 1):
        step(number)
        if number in (last, last + more):
            found.append(alive())
    assert found[0][:2] == found[1][:2] == found[2][:2]
    blocks = [looked.blocks for looked in found]
    # what another test has cached may come or go in one of the two
    assert min(blocks[1] - blocks[0], blocks[2] - blocks[1]) < each * more


def steps_of(name, **fields):
    """Return a function that makes a step of the method with a small network."""
    method, network = build(name, 3, **(SMALL.get(name, {}) | fields)), Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step(number):
        method.step_with(network.gradients())
        optimizer.step()
        if method.looks_again:
            method.after_update(network.gradients())
        if number % 20 == 0:
            method.end_epoch()

    return step


ALWAYS = ("taskforce",)


OTHERS = [m for m in METHODS if m not in ALWAYS]


@pytest.mark.parametrize("name", ALWAYS)
def test_steps_of_some_methods_leave_nothing_behind(name):
    assert_flat(steps_of(name), FIRST, LAST)


@pytest.mark.nightly
@pytest.mark.parametrize("name", OTHERS)
def test_steps_of_a_method_leave_nothing_behind(name):
    assert_flat(steps_of(name), FIRST, LAST)


@pytest.mark.nightly
def test_a_second_look_leaves_nothing_behind():
    assert_flat(steps_of("taskforce", transition="same_batch"), FIRST, LAST)


def test_what_is_left_behind_is_seen():
    kept, step = [], steps_of("ls")
    with pytest.raises(AssertionError):
        assert_flat(lambda number: (step(number), kept.append(torch.zeros(1))), 10, 20)
    with pytest.raises(AssertionError):
        assert_flat(lambda number: (step(number), kept.append(float(number))), 100, 200)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["ls", "taskforce"])
def test_steps_of_the_trainer_leave_rows_of_the_log_until_it_is_written(name, small_data, tmp_path):
    words = ("method.batch_size=2", "method.buffer_size=20") if name == "taskforce" else ()
    config = smallest("qm9", small_data, tmp_path, f"method={name}", "dataset.batch_size=4", *words)
    with RunRecord(tmp_path / "record") as record:
        trainer = trainer_of(config, record, Watcher())
        log = trainer.step_logs[""]
        (batch, *_) = trainer.algorithm.data.train_batches(1)

        def step(number):
            trainer.train_step([batch])
            assert len(log.rows) == (number - 1) % 20 + 1
            if number % 20 == 0:
                trainer.save()
                assert not log.rows

        assert_flat(step, FIRST, LAST, each=3)
