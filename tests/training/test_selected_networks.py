"""The networks of the selected epochs, through trainings that are stopped, killed and damaged."""

import copy

import pytest

from mtl_bench.config.identity import config_hash
from mtl_bench.errors import RecordError
from mtl_bench.inspect.recorded_run import load_run
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.run import run
from tests.training.runs import (
    METHODS,
    Watcher,
    config_of,
    differences,
    stop_at,
    train,
    trainer_of,
)

UNEVEN = ("optimizer.lr=0.3", "trainer.epochs=5")
"""A learning rate at which validation goes up and down."""


class Keeper(Watcher):
    """Keeps the network after each epoch, and ends a training at one."""

    def __init__(self):
        super().__init__()
        self.networks = {}

    def on_epoch_end(self, trainer, line):
        network = trainer.algorithm.components[0].module
        self.networks[line["epoch"]] = copy.deepcopy(network)


class Killed(Exception):
    """What ends a training in place of a SIGKILL."""


class KilledAtSave(Checkpoints):
    """The process is gone before the checkpoint after an epoch is written."""

    def save(self, state):
        if state["progress"]["epoch"] == 3 and state["progress"]["batch"] == 0:
            raise Killed
        super().save(state)


def path_of(config):
    return record_path(config, config_hash(config))


def best_files(config):
    return sorted(path.name for path in (path_of(config) / "checkpoint").glob("best-*.pt"))


def state_of(config):
    path = path_of(config) / "checkpoint"
    return Checkpoints(path, config, config_hash(config)).peek()


@pytest.mark.parametrize("method", ["ls", "stl"])
def test_the_network_of_each_selected_epoch_is_kept(method, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS[method], *UNEVEN)
    keeper = Keeper()
    end = train(config, keeper)
    run(config)  # seals it
    found = load_run(path_of(config)).network
    selected = end.selected["selected_epochs"]["best_val"]
    assert set(selected.values()) != {5}  # or the last network would do
    for task, epoch in selected.items():
        expected = keeper.networks[epoch].network_of([task]).state_dict()
        assert differences(found.network_of([task]).state_dict(), expected) == []
    assert len(set(selected.values())) > (method == "stl")
    last = load_run(path_of(config)).load_network("last").state_dict()
    assert differences(last, keeper.networks[5].state_dict()) == []


def test_a_stopped_run_keeps_what_one_without_a_stop_keeps(straight, tiny_data, tmp_path):
    whole = straight("stl")
    config = config_of(tiny_data, tmp_path, *METHODS["stl"])
    for observers in ([stop_at(5)], [stop_at(4)], []):
        end = train(config, *observers)
    assert differences(end.state["selected"], whole.state["selected"]) == []
    assert set(end.state["selected"]["parts"]) <= set(best_files(config))


def test_a_network_whose_epoch_was_never_recorded_is_not_left(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path / "killed", "method=ls")
    straight = train(config_of(tiny_data, tmp_path / "straight", "method=ls"))
    with RunRecord(path_of(config)) as record:
        trainer = trainer_of(config, record)
        trainer.checkpoints = KilledAtSave(record.checkpoints, config, config_hash(config))
        trainer.resume()
        with pytest.raises(Killed):
            trainer.run()
    named = state_of(config)["selected"]["parts"]
    assert list(named) == ["best-000001-0.pt"]
    assert best_files(config) == ["best-000001-0.pt", "best-000002-0.pt"]
    train(config, stop_at(1))
    assert best_files(config) == ["best-000001-0.pt"]
    end = train(config)
    assert differences(end.state["selected"], straight.state["selected"]) == []
    assert differences(end.state["network"], straight.state["network"]) == []


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_lost_network_is_told_and_costs_the_training_nothing(harm, tiny_data, tmp_path):
    config, other = (config_of(tiny_data, tmp_path / name, "method=ls") for name in ("a", "b"))
    for each in (config, other):
        each["optimizer"]["maximize"] = True  # every epoch is worse than the first
    straight = train(other)
    assert straight.selected["selected_epochs"]["best_val"]["mu"] == 1
    train(config, stop_at(6))
    (file,) = (path_of(config) / "checkpoint").glob("best-*.pt")
    file.unlink() if harm == "gone" else file.write_bytes(file.read_bytes()[:-9])
    watcher = Watcher()
    end = train(config, watcher)
    assert any("network of the selected epoch is lost" in text for text in watcher.messages)
    assert differences(end._replace(state={}), straight._replace(state={})) == []
    run(config)
    with pytest.raises(RecordError, match="has no network of epoch 1") as caught:
        load_run(path_of(config)).load_network()
    assert "\n" not in str(caught.value)
    assert load_run(path_of(config)).load_network("last")


def test_a_checkpoint_from_before_goes_on(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=ls")
    train(config, stop_at(6))
    checkpoints = Checkpoints(path_of(config) / "checkpoint", config, config_hash(config))
    state = checkpoints.peek()
    del state["selected"]
    checkpoints.save(state)
    watcher = Watcher()
    assert train(config, watcher).selected is not None
    assert watcher.messages == []


def test_a_selected_network_alone_is_no_checkpoint_to_go_on_from(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=1")
    path = run(config).path
    (path / "summary.json").write_text("{}")
    (path / "checkpoint" / "last.pt").unlink()
    assert best_files(config) == ["best-000001-0.pt"]
    with pytest.raises(RecordError, match="no checkpoint is left"):
        run(config)
