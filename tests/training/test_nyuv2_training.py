"""Training on a few procedural rooms with the smallest network."""

import json

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.datasets.nyuv2.prepare import synth
from mtl_bench.errors import ConfigError, RecordError
from mtl_bench.training.run import run
from tests.training.runs import differences, stop_at, train


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    synth(data / "nyuv2", 5, 2, 32, 64, jobs=1, report=lambda line: None)
    return data


def config_of(rooms, results, *overrides):
    return compose_config(
        [
            *("dataset=nyuv2", "method=ls", "profile=smoke", "logger.progress=off"),
            *("dataset.train_size=5", "dataset.test_size=2", "trainer.device=cpu"),
            *(f"paths.data={rooms}", f"paths.results={results}", *overrides),
        ]
    )


def test_a_stop_within_an_augmented_epoch_and_other_workers_change_nothing(rooms, tmp_path):
    straight = train(config_of(rooms, tmp_path / "a", "protocol=nash"))
    config = config_of(rooms, tmp_path / "b", "protocol=nash")
    assert train(config, stop_at(4)).selected is None
    resumed = train(config_of(rooms, tmp_path / "b", "protocol=nash", "trainer.workers=1"))
    assert len(straight.steps["step"]) == 6  # two epochs of three batches, the last of one image
    assert differences(straight, resumed) == []


def test_the_record_says_that_the_data_are_procedural(rooms, tmp_path):
    outcome = run(config_of(rooms, tmp_path))
    summary = json.loads((outcome.path / "summary.json").read_text())
    assert summary["data"]["kind"] == "procedural"
    assert summary["selection"] == "last_k_mean"
    assert summary["steps"] == 4
    assert set(summary["metrics"]["last"]) == {"segmentation", "depth", "normal"}


def test_without_validation_the_test_split_is_looked_at_once_and_selects_nothing(rooms, tmp_path):
    end = train(config_of(rooms, tmp_path, "method=stl"))
    assert set(end.selected["metrics"]) == {"last", "last_k_mean"}
    assert all("validation" not in line for line in end.metrics)
    assert end.state["progress"]["total_seconds"]["validation"] == 0
    holding = ("method=stl", "dataset.holdout=1", "dataset.train_size=4")
    held_out = train(config_of(rooms, tmp_path / "b", *holding))
    assert "best_val" in held_out.selected["metrics"]


def test_what_needs_validation_is_refused_without_it(rooms, tmp_path):
    config = config_of(rooms, tmp_path)
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "factor": 0.5}
    for change in (
        {"protocol": config["protocol"] | {"selection": "best_val"}},
        {"scheduler": plateau},
    ):
        with pytest.raises(ConfigError, match=r"needs validation data.*dataset\.holdout=N"):
            run(config | change)


def test_a_run_goes_on_only_on_the_data_that_it_began_on(rooms, tmp_path):
    config = config_of(rooms, tmp_path / "results")
    assert train(config, stop_at(2)).selected is None
    synth(tmp_path / "nyuv2", 5, 2, 32, 64, seed=1, jobs=1, report=lambda line: None)
    others = config_of(tmp_path, tmp_path / "results")
    with pytest.raises(RecordError, match=r"begun on other data .*manifest.*paths\.data=DIR"):
        train(others)
    assert train(config).selected is not None
