"""Updates of recorded runs, made again."""

import json
import math
import os
import signal
import stat
from typing import ClassVar

import pytest
import torch
from torch import nn

from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError, Interrupted, RecordError, TrainingError
from mtl_bench.inspect.probe import bad_parameters, bad_targets, largest_parameter, watch_outputs
from mtl_bench.inspect.replay import _take_checkpoint, replay
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.reporting.incident import render_replay
from mtl_bench.training.run import run
from mtl_bench.training.trainer import Trainer
from tests.training.runs import STEPS, config_of, stop_at, train


def fail(data, results, method, *overrides):
    config = config_of(data, results, f"method={method}", *overrides)
    with pytest.raises(TrainingError):
        run(config)
    return record_path(config, config_hash(config))


def files(record):
    return {path: path.read_bytes() for path in record.rglob("*") if path.is_file()}


@pytest.mark.parametrize("method", ["ls", "mgda", "taskforce"])
def test_a_failed_update_comes_again_with_the_same_bits(method, tiny_data, tmp_path):
    record = fail(tiny_data, tmp_path, method, "optimizer.lr=1e30")
    before = files(record)
    found = replay(record)
    assert files(record) == before
    failure = json.loads((record / "FAILED.json").read_text())
    assert found.step == failure["step"] + 1
    assert (found.start, found.same) == (0, True)
    assert found.fault is not None
    assert failure["error"].startswith(found.fault)
    shown = render_replay(record, found)
    assert "bit for bit" in shown
    assert f"step {found.step}, epoch 1, batch {found.step}, trained anew" in shown
    assert f"samples: {failure['update']['samples'][0][0]}," in shown


def test_it_goes_on_from_the_checkpoint(tiny_data, tmp_path):
    overrides = ("method=taskforce", "optimizer.lr=1e30")
    train(config_of(tiny_data, tmp_path, *overrides), stop_at(1))
    record = fail(tiny_data, tmp_path, "taskforce", "optimizer.lr=1e30")
    found = replay(record)
    assert (found.start, found.same) == (1, True)
    assert "going on from step 1" in render_replay(record, found)


def test_numbers_that_differ_are_told(tiny_data, tmp_path):
    record = fail(tiny_data, tmp_path, "ls", "optimizer.lr=1e30")
    path = record / "FAILED.json"
    failure = json.loads(path.read_text())
    failure["update"]["losses"]["mu"] = 0.5
    path.write_text(json.dumps(failure))
    found = replay(record)
    assert found.same is False
    assert "NOT the numbers" in render_replay(record, found)


def test_it_goes_on_from_the_checkpoint_of_a_read_only_record(tiny_data, tmp_path):
    """Its copy can be written: to make another, or to leave one out."""
    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=2")
    record = run(config).path
    (record / "checkpoint").chmod(0o555)
    with RunRecord(tmp_path / "copy") as copied:
        _take_checkpoint(record, copied, config, STEPS)
        assert copied.checkpoints.stat().st_mode & stat.S_IWUSR
        assert not [*copied.checkpoints.glob("*.pt")]  # made after the step


def test_any_step_of_a_finished_run(tiny_data, tmp_path, monkeypatch):
    config = config_of(tiny_data, tmp_path, "method=taskforce", "trainer.epochs=2")
    record = run(config).path
    text = (record / "config.yaml").read_text()  # as an earlier version wrote it
    (record / "config.yaml").write_text(text.replace("  determinism: warn\n", ""))
    found = replay(record, 2 * STEPS)
    assert (found.fault, found.same, found.origins) == (None, None, [])
    assert found.incident["update"]["weights"].keys() == found.incident["update"]["losses"].keys()
    assert "the update can be made" in render_replay(record, found)
    with pytest.raises(ConfigError, match=f"step={2 * STEPS + 1}: the run has {2 * STEPS} steps"):
        replay(record, 2 * STEPS + 1)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", None)  # none is made before a step is refused
        with pytest.raises(ConfigError, match="step=999: the run has"):
            replay(record, 999)
    with pytest.raises(RecordError, match="no update that failed: give step=N"):
        replay(record)


def test_what_stops_it_is_told_of_the_record(tiny_data, tmp_path, monkeypatch):
    """And not of the folder that it works in, which is gone then."""
    record = fail(tiny_data, tmp_path, "ls", "optimizer.lr=1e30")
    step, made = json.loads((record / "FAILED.json").read_text())["step"] + 1, Trainer.train_step

    def stop(trainer, batches):
        os.kill(os.getpid(), signal.SIGTERM)
        made(trainer, batches)

    assert step > 1
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", stop)
        with pytest.raises(Interrupted, match=f"^SIGTERM: .*{record} is as it was.* again$"):
            replay(record)
    with pytest.raises(TrainingError, match=f"`mtl-bench replay {record}` shows"):
        replay(record, step + 1)


def test_without_a_checkpoint_that_can_be_read_it_begins_at_the_first_step(
    tiny_data, tmp_path, capsys
):
    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=2")
    record = run(config).path
    for checkpoint in (record / "checkpoint").iterdir():
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    before = files(record)
    found = replay(record, 2 * STEPS)
    assert (found.start, found.fault) == (0, None)
    assert files(record) == before
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"mtl-bench: WARNING: {record / 'checkpoint' / 'last.pt'} is damaged")
    assert warning.endswith(": the replay begins at the first step")


def test_a_checkpoint_that_does_not_fit_is_that_of_the_record(tiny_data, tmp_path):
    train(config_of(tiny_data, tmp_path, "method=ls", "optimizer.lr=1e30"), stop_at(1))
    record = fail(tiny_data, tmp_path, "ls", "optimizer.lr=1e30")
    last = record / "checkpoint" / "last.pt"
    content = torch.load(last, weights_only=True)
    del content["state"]["learners"]
    torch.save(content, last)
    with pytest.raises(RecordError, match=f"^the checkpoint in {record} does not fit the run"):
        replay(record)


def test_no_run_is_named(tmp_path):
    with pytest.raises(RecordError, match="holds no run"):
        replay(tmp_path)


class Broken(nn.Module):
    def forward(self, x):
        return x / 0.0


def test_the_module_that_spoils_is_told_from_those_that_pass_it_on():
    network = nn.Sequential(nn.Linear(2, 2), Broken(), nn.ReLU())
    with watch_outputs(network) as found:
        network(torch.ones(1, 2))
    assert found[0] == "1 (Broken) from finite inputs"
    assert "2 (ReLU)" in found
    with watch_outputs(network[0]) as found:
        network[0](torch.ones(1, 2))
    assert found == []


def test_parameters_and_targets():
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight[0, 1] = -7.0
    assert bad_parameters(network) == []
    assert largest_parameter(network) == ("weight", 7.0)
    with torch.no_grad():
        network.bias.fill_(math.nan)
    assert bad_parameters(network) == ["bias"]

    class Batch:
        targets: ClassVar = {"a": torch.tensor([1.0, math.nan]), "b": torch.tensor([1, 2])}

    assert bad_targets([Batch()], [["x", "y"]]) == ["a of sample y"]


def test_a_step_that_can_not_be_run_ends_the_replay_as_it_ended_the_run(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=taskforce", "method.observation=raw")
    record = record_path(config, config_hash(config))
    for again in (lambda: run(config), lambda: replay(record, step=1)):
        with pytest.raises(ConfigError, match=r"method.observation=raw is computed, not run"):
            again()
