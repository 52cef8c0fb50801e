"""A training ends where its validation stops getting better, also if it was stopped on the way."""

import json

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash, settings_of
from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.errors import ConfigError
from mtl_bench.training.observer import EarlyStopping
from mtl_bench.training.run import run
from tests.training.runs import STEPS, config_of, differences, stop_at, train

EPOCHS = 12
RESTLESS = ("optimizer.lr=0.1", f"trainer.epochs={EPOCHS}")
"""With which twelve epochs never all get better."""

CELLS = {"one network": "method=ls", "separate networks": "method=stl"}


def last_epoch(metrics, patience, tasks):
    """Return where a training ends: Δm of all tasks, or each task's own if networks are separate.

    A tie counts as better.
    """
    best = dict.fromkeys(tasks, (float("inf"), 0))
    for line in metrics:
        for task, keys in tasks.items():
            value = sum(line["validation"][key]["mae"] / scale for key, scale in keys.items())
            if value <= best[task][0]:
                best[task] = (value, line["epoch"])
        if line["epoch"] - max(epoch for _, epoch in best.values()) >= patience:
            return line["epoch"]
    return EPOCHS


@pytest.fixture(
    params=["one network", pytest.param("separate networks", marks=pytest.mark.nightly)]
)
def cell(request, tiny_data, tmp_path):
    """Return a configuration, and the training to its planned end."""
    words = (CELLS[request.param], *RESTLESS)
    whole = train(config_of(tiny_data, tmp_path / "whole", *words))
    config = config_of(tiny_data, tmp_path / "stopping", *words)
    tasks = list(whole.metrics[0]["validation"])
    if "separate" in request.param:
        groups = {task: {task: 1.0} for task in tasks}
    else:
        groups = {"all": {t.name: t.reference for t in TARGETS}}
    return config, whole, groups


def test_it_ends_after_epochs_without_a_better_one(cell):
    config, whole, groups = cell
    patience = 1 if len(groups) == 1 else 2
    end = train(config, EarlyStopping(patience))
    expected = last_epoch(whole.metrics, patience, groups)
    assert end.metrics == whole.metrics[:expected]
    assert expected == EPOCHS or len(end.steps["step"]) == STEPS * expected


def test_one_network_does_not_train_to_the_end(tiny_data, tmp_path):
    end = train(config_of(tiny_data, tmp_path, "method=ls", *RESTLESS), EarlyStopping(1))
    assert len(end.metrics) < EPOCHS


@pytest.mark.parametrize("stops", [(1,), (STEPS,), (STEPS + 2, STEPS)])
def test_stopped_and_resumed_it_ends_at_the_same_bits(stops, tiny_data, tmp_path):
    words = ("method=ls", *RESTLESS)
    straight = train(config_of(tiny_data, tmp_path / "straight", *words), EarlyStopping(1))
    config = config_of(tiny_data, tmp_path / "stopped", *words)
    for stop in stops:
        train(config, stop_at(stop), EarlyStopping(1))
    for _ in range(2):  # the second time as after a kill between the last checkpoint and the end
        resumed = train(config, EarlyStopping(1))
        assert differences(straight._asdict(), resumed._asdict()) == []


def test_a_run_records_what_was_planned(tiny_data, tmp_path):
    plain = config_of(tiny_data, tmp_path, "method=ls", *RESTLESS)
    config = config_of(tiny_data, tmp_path, "method=ls", *RESTLESS, "trainer.early_stopping=1")
    assert config_hash(config) != config_hash(plain)
    assert settings_of(config).keys() - settings_of(plain).keys() == {"trainer.early_stopping"}
    path = run(config).path
    summary = json.loads((path / "summary.json").read_text())
    assert summary["planned_epochs"] == EPOCHS
    assert summary["epochs"] == len((path / "metrics.jsonl").read_text().splitlines()) < EPOCHS
    assert run(config).state == "already finished"


def test_without_validation_it_is_refused(tmp_path):
    words = ("dataset=pendulum6", "method=ls", "profile=smoke", f"paths.results={tmp_path}")
    with pytest.raises(ConfigError, match=r"early_stopping=2 needs validation data.*use null"):
        run(compose_config([*words, "trainer.early_stopping=2"]))
    assert list(tmp_path.iterdir()) == []
