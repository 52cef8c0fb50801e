"""What an attempt does to the record of the attempts before it."""

import json

import pytest
import torch

from mtl_bench.config.identity import config_hash
from mtl_bench.errors import RecordError, TrainingError
from mtl_bench.inspect.replay import replay
from mtl_bench.records.reader import find_record
from mtl_bench.records.writer import record_path
from mtl_bench.runtime.environment import set_determinism
from mtl_bench.training.run import run
from tests.training.runs import config_of


@pytest.fixture
def failing(tiny_data, tmp_path):
    """Return the configuration of a run that fails after its first checkpoint, and its record."""
    overrides = ("method=ls", "optimizer.lr=1e30", "trainer.checkpoint_minutes=1e-9")
    config = config_of(tiny_data, tmp_path, *overrides)
    with pytest.raises(TrainingError, match="mtl-bench replay"):
        run(config)
    yield config, record_path(config, config_hash(config))
    set_determinism("off")


def files(record):
    return {p: p.read_bytes() for p in record.rglob("*") if p.is_file() and p.name != ".lock"}


def change_checkpoints(record, change):
    for path in (record / "checkpoint").glob("[lp]*.pt"):  # last.pt, previous.pt
        content = torch.load(path, weights_only=True)
        change(content["state"])
        torch.save(content, path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state["data"].update(manifest="0" * 64), "was begun on other data"),
        (lambda state: state["network"].popitem(), "does not fit the run"),
    ],
)
def test_an_attempt_that_is_refused_leaves_the_record_as_it_was(failing, change, reason):
    config, record = failing
    change_checkpoints(record, change)
    before = files(record)
    assert "update" in json.loads((record / "FAILED.json").read_text())
    with pytest.raises(RecordError, match=reason):
        run(config)
    assert files(record) == before


def test_the_environment_tells_of_every_process(failing):
    config, record = failing
    first = json.loads((record / "environment.json").read_text())
    config["trainer"]["determinism"] = "off"
    with pytest.raises(TrainingError):
        run(config)
    environment = json.loads((record / "environment.json").read_text())
    (later,) = environment.pop("resumed")
    assert environment == first
    assert later.pop("started", first["started"]) >= first["started"]
    assert later == {"determinism": "off"}
    assert replay(record).same


def test_a_run_that_begins_anew_has_one_process(failing):
    config, record = failing
    for path in (record / "checkpoint").iterdir():
        path.unlink()
    with pytest.raises(TrainingError):
        run(config)
    assert "resumed" not in json.loads((record / "environment.json").read_text())


OF_BEFORE = "2026-01-02T03:04:05+00:00\n"
"""DONE as it was when it held no hashes."""


def test_a_run_is_finished_only_where_a_reader_has_its_summary(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=1")
    record = run(config).path
    (record / "DONE").write_text(OF_BEFORE)
    assert run(config).state == "already finished"
    summary = json.loads((record / "summary.json").read_text())
    (record / "summary.json").unlink()
    assert find_record(record).state == "failed"
    assert run(config).state == "finished"  # made again from the checkpoint
    again = json.loads((record / "summary.json").read_text())
    assert again["metrics"] == summary["metrics"]

    (record / "DONE").write_text(OF_BEFORE)
    (record / "summary.json").write_text("{}")
    for path in (record / "checkpoint").iterdir():
        path.unlink()
    with pytest.raises(RecordError, match=r"summary\.json isn't .*no checkpoint is left.* move"):
        run(config)
