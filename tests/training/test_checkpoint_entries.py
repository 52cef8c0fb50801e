"""Leaving any entry out of a checkpoint would be noticed.

Entries are found in a checkpoint, not listed: all that differs from the state at the beginning. One
after the other is put back to that, and what follows must not be what would have followed.
"""

import copy
import json
import random
import shutil

import numpy as np
import pytest
import torch

from mtl_bench.config.build import build_data
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import MtlBenchError, RecordError
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.testing.methods import advance, rounds
from mtl_bench.training.checkpoint import Checkpoints
from tests.methods.streams import METHODS, build
from tests.training.runs import (
    Altered,
    DropoutMPNN,
    Watcher,
    config_of,
    differences,
    stop_at,
    train,
)
from tests.training.runs import trainer_of as make_trainer


def entries(saved, fresh, whole=(), path=()):
    """Yield the paths of what differs, going into dicts of the same keys and into lists of them."""
    pairs = None
    if path not in whole and type(saved) is type(fresh):
        if isinstance(saved, dict) and saved.keys() == fresh.keys():
            pairs = [(key, saved[key], fresh[key]) for key in saved]
        elif isinstance(saved, list) and len(saved) == len(fresh) and dict in map(type, saved):
            pairs = list(zip(range(len(saved)), saved, fresh, strict=True))
    if pairs is None:
        if type(saved) is not type(fresh) or differences(saved, fresh):
            yield path
        return
    for key, *values in pairs:
        yield from entries(*values, whole, (*path, key))


def without(saved, fresh, path):
    """Return a copy of a state with one entry as it was at the beginning."""
    state = copy.deepcopy(saved)
    inner, first = state, fresh
    for key in path[:-1]:
        inner, first = inner[key], first[key]
    inner[path[-1]] = copy.deepcopy(first[path[-1]])
    return state


# What the trainer puts in


class DrawingMPNN(DropoutMPNN):
    """A network that draws from the global generators of Python, NumPy and torch."""

    def representation(self, batch):
        factor = random.uniform(0.9, 1.1) * np.random.uniform(0.9, 1.1)  # noqa: NPY002
        return super().representation(batch) * factor


def spoil(epoch, number, batch):
    """Make the first batch of the fifth epoch one that has to be skipped."""
    if (epoch, number) == (5, 0):
        batch.targets["mu"].fill_(torch.nan)


STOP = 13
"""The only step of the fifth epoch's three before the stop, whose first was skipped."""

ENTRIES = {
    "network",
    "method",
    "learners.0.optimizer.state",
    "learners.0.optimizer.param_groups.0.lr",
    "learners.0.scheduler.best",
    "learners.0.scheduler.num_bad_epochs",
    "learners.0.best_criterion",
    "learners.0.best_epoch",
    *(f"progress.{name}" for name in ("epoch", "batch", "step", "skipped", "history")),
    *(f"progress.{name}" for name in ("loss_sums", "loss_counts", "weight_sums")),
    *(f"generators.{name}" for name in ("python", "numpy", "torch")),
    "step_log.parts",
}
"""What a test below puts back."""

BOOKS = {
    *(f"learners.0.scheduler.{name}" for name in ("last_epoch", "_last_lr")),
    *("progress.seconds", "progress.total_seconds", "progress.peak_memory_bytes"),
    *("progress.cpu_seconds", "progress.waiting_seconds"),
    "selected.parts",  # tested in test_selected_networks.py
}
"""What changes no number of a result: torch's own books, kept networks, and what a run has cost."""


@pytest.fixture(scope="module")
def stopped(tiny_data, tmp_path_factory):
    """Stop a run, change its checkpoint, and return the end and the saved and the first state.

    The optimiser makes every epoch worse than the one before, so that the first is the best and the
    learning rate has fallen once and is about to fall again.
    """

    words = ("method=taskforce", "method.batch_size=2", "method.hidden_dim=8")
    sizes = ("dataset.train_size=60", "trainer.epochs=6", "trainer.on_nonfinite=skip")
    begun = tmp_path_factory.mktemp("begun")
    config = config_of(tiny_data, begun, *words, *sizes, "scheduler.patience=1")
    config["architecture"]["_target_"] = f"{__name__}.{DrawingMPNN.__name__}"
    config["optimizer"] |= {"maximize": True, "lr": 0.01}
    digest, data = config_hash(config), Altered(build_data(config), spoil)
    train(config, stop_at(STOP), data=data)

    def run(change):
        results = tmp_path_factory.mktemp("stopped")
        shutil.copytree(begun, results, dirs_exist_ok=True)
        config["paths"]["results"] = str(results)
        with RunRecord(record_path(config, digest)) as record:
            fresh = make_trainer(config, record, Watcher(), data=data).state_dict()
            checkpoints = Checkpoints(record.checkpoints, config, digest)
            saved = checkpoints.load()
            checkpoints.save(change(saved, fresh))
        return train(config, data=data), saved, fresh

    return run


@pytest.fixture(scope="module")
def whole(stopped):
    return stopped(lambda saved, fresh: saved)


def outcome(end):
    """Return what a reader of the record sees, and the network."""
    return {**end._asdict(), "state": end.state["network"]}


def test_every_entry_is_put_back_by_a_test(whole):
    _, saved, fresh = whole
    collapsed = (("network",), ("method",), ("progress", "seconds"), ("progress", "total_seconds"))
    found = {".".join(map(str, path)) for path in entries(saved, fresh, collapsed)}
    idle = {"progress.waiting_seconds"}  # zero on a machine that has nothing else to do
    assert found | idle == ENTRIES | BOOKS
    assert saved.keys() - {name.partition(".")[0] for name in found} == {"data"}


@pytest.mark.parametrize("entry", sorted(ENTRIES))
def test_a_run_without_the_entry_ends_otherwise(entry, whole, stopped):
    path = tuple(int(key) if key.isdigit() else key for key in entry.split("."))
    try:
        end, _, _ = stopped(lambda saved, fresh: without(saved, fresh, path))
    except (MtlBenchError, LookupError):
        return
    assert differences(outcome(whole[0]), outcome(end))


def test_the_same_entries_end_the_same(whole, stopped):
    end, _, _ = stopped(lambda saved, fresh: copy.deepcopy(saved))
    assert differences(outcome(whole[0]), outcome(end)) == []


def test_what_a_run_has_cost_goes_on(whole):
    end, saved, _ = whole
    before, after = saved["progress"], end.state["progress"]
    for phase, seconds in before["total_seconds"].items():
        assert after["total_seconds"][phase] >= seconds > 0
    for phase in ("data", "forward", "method", "optimizer"):
        assert after["history"][4]["seconds"][phase] > before["seconds"][phase] > 0
    assert after["history"][4]["seconds"]["cpu"] > before["cpu_seconds"] > 0
    assert after["peak_memory_bytes"] >= before["peak_memory_bytes"] > 0


@pytest.mark.parametrize("key", ["format", "hash", "data"])
def test_another_origin_of_a_checkpoint_is_refused(key, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=ls")
    train(config, stop_at(1))
    last = record_path(config, config_hash(config)) / "checkpoint" / "last.pt"
    content = torch.load(last, weights_only=True)
    if key == "data":
        content["state"]["data"]["manifest"] = "0" * 64
    else:
        content[key] = {"format": 0, "hash": "00000000"}[key]
    assert json.loads(content["config"]) == config
    torch.save(content, last)
    with pytest.raises(RecordError, match="move"):
        train(config)


# What methods put in

AT_WORK = {
    "dbmtl": [{"decay": 0.5}],
    "dwa": [{"window": 2}, {"variant": "epoch"}],
    "igbv2": [
        {
            **{"base_epoch": 0, "random_epochs": 1, "update_after_epochs": 1, "update_every": 2},
            **{"batch_size": 4, "buffer_size": 4, "hidden_dim": 4},
        }
    ],
    "imtl": [{"variant": "hybrid"}],
    "taskforce": [
        {"batch_size": 2, "buffer_size": 4, "hidden_dim": 4, "update_every": 2},
        {"batch_size": 2, "buffer_size": 4, "hidden_dim": 4, "reward_scope": "own"},
    ],
    "torchjd": [{"aggregator": "GradVac"}, {"aggregator": "Random"}],
}
"""Fields with which all of a method is at work within a few steps."""


def play(method, games):
    """Return all that can be seen of a method in these rounds; an epoch has three."""
    seen = []
    for number, game in games:
        info, gradient_P = advance(method, *game)
        seen.append([info.weights_T, gradient_P, info.diagnostics])
        if number % 3 == 2:
            method.end_epoch()
    return seen


def noticed(make, state, games, reference):
    method = make()
    try:
        method.load_state_dict(state)
        return bool(differences(reference, play(method, games)))
    except (MtlBenchError, ValueError):
        return True


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_of_a_method_is_needed(name):
    """Some matter soon after the beginning only, so the method is saved at several times."""
    found, proven = set(), set()
    for fields in AT_WORK.get(name, [{}]):
        for steps in (1, 2, 7, 8):

            def make(fields=fields):
                return build(name, 3, **fields)

            games = list(enumerate(rounds(steps + 9, 3)))
            method = make()
            fresh = copy.deepcopy(method.state_dict())
            play(method, games[:steps])
            saved = copy.deepcopy(method.state_dict())
            reference = play(method, games[steps:])
            assert not noticed(make, copy.deepcopy(saved), games[steps:], reference)
            for path in entries(saved, fresh):
                found.add(path)
                if path not in proven and noticed(
                    make, without(saved, fresh, path), games[steps:], reference
                ):
                    proven.add(path)
    assert found == proven


def test_a_trained_method_has_something_to_save():
    """The search above finds what is known to be there."""
    method = build("taskforce", 3, **AT_WORK["taskforce"][0])
    fresh = copy.deepcopy(method.state_dict())
    play(method, list(enumerate(rounds(8, 3))))
    names = {".".join(map(str, path)) for path in entries(method.state_dict(), fresh)}
    assert names >= {
        *("agents.actors.flat_TP", "agents.target_critics.flat_TP", "agents.running_mean_D"),
        *(
            "agents._extra_state.actor_optimizer.state",
            "agents._extra_state.critic_optimizer.state",
        ),
        *("memory.replay._extra_state.rows", "memory.replay._extra_state.position"),
        *("noise.state_T", "memory.losses_T", "_extra_state.generator", "_extra_state.iteration"),
    }
