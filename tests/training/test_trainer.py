"""Training, interruption and continuation with tiny networks on synthetic molecules."""

import copy
import json
import math
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mtl_bench.algorithms.supervised.optimizer_group import OptimizerGroup
from mtl_bench.config.build import (
    build_algorithm,
    build_data,
    build_network,
    build_optimizer,
    build_scheduler,
)
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError, TrainingError
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.tasks import Metric
from mtl_bench.training.run import run
from mtl_bench.training.summary import select
from tests import synthetic_qm9
from tests.training.runs import (
    METHODS,
    STEPS,
    Altered,
    Watcher,
    config_of,
    differences,
    parameters_of,
    train,
    trainer_of,
)

TOTAL = 3 * STEPS


def test_other_seeds_train_otherwise(tiny_data, tmp_path, straight):
    other = train(config_of(tiny_data, tmp_path, *METHODS["ls"], "seed=1"))
    assert differences(straight("ls").state["network"], other.state["network"])


def test_a_second_interrupt_does_not_wait(tiny_data, tmp_path):
    def interrupt_twice(step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    with pytest.raises(KeyboardInterrupt):
        train(config_of(tiny_data, tmp_path, *METHODS["ls"]), Watcher(interrupt_twice))
    assert signal.getsignal(signal.SIGINT) is before


def poison(data, task, molecules):
    """Make the targets of these training molecules NaN for one task."""
    column = data.store.names.index(task)
    data.store.targets_MT[data.splits["train"][molecules], column] = np.nan


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_stops_before_the_update(method, tiny_data, tmp_path, straight):
    config = config_of(tiny_data, tmp_path, *METHODS[method])
    data = build_data(config)
    console = Watcher(epoch=lambda line: poison(data, "homo", slice(None)))
    with pytest.raises(TrainingError, match=f"task homo is nan at epoch 2, step {STEPS + 1};"):
        train(config, console, data=data)
    resumed = train(config)  # the checkpoint of epoch 1 is intact
    assert differences(straight(method)._asdict(), resumed._asdict()) == []


@pytest.mark.parametrize("method", METHODS)
def test_skip_leaves_out_a_batch_and_touches_nothing(method, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS[method], "trainer.on_nonfinite=skip")
    data = build_data(config)
    poison(data, "cv", [7])
    console = Watcher()
    end = train(config, console, data=data)
    assert [line["skipped"] for line in end.metrics] == [1, 1, 1]
    assert end.steps["step"] == list(range(1, TOTAL - 2))
    assert len(console.messages) == 3
    assert all("task cv is nan" in message for message in console.messages)
    for line in end.metrics:
        rows = [i for i, epoch in enumerate(end.steps["epoch"]) if epoch == line["epoch"]]
        for task, mean in line["train_loss"].items():
            assert mean == pytest.approx(np.mean([end.steps[f"loss/{task}"][i] for i in rows]))


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_that_is_not_finite_is_skipped_with_nothing_changed(method, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS[method], "trainer.on_nonfinite=skip")
    with RunRecord(tmp_path / "record") as record:
        trainer = trainer_of(config, record, Watcher())
        batches = trainer.algorithm.data.train_batches(1)
        trainer.train_step([next(batches)])
        before = [p.detach().clone() for p in parameters_of(trainer)]
        state = copy.deepcopy(trainer.algorithm.method.state_dict())
        hook = parameters_of(trainer)[0].register_hook(lambda gradient: gradient * math.nan)
        trainer.train_step([next(batches)])
        hook.remove()
        assert trainer.progress.skipped == 1
        assert trainer.progress.step == 1
        assert all(torch.equal(a, b) for a, b in zip(before, parameters_of(trainer), strict=True))
        assert differences(state, trainer.algorithm.method.state_dict()) == []
        trainer.train_step([next(batches)])
        assert trainer.progress.step == 2


def test_a_run_that_met_a_nan_goes_on_without_its_batch(tiny_data, tmp_path):
    def train_on(results, *overrides, poisoned):
        config = config_of(tiny_data, tmp_path / results, *METHODS["ls"], *overrides)
        data = build_data(config)
        if poisoned:
            poison(data, "cv", [7])
        console = Watcher(epoch=lambda line: poison(data, "cv", [7]))
        return train(config, console, data=data), console

    skip = "trainer.on_nonfinite=skip"
    straight, _ = train_on("straight", skip, poisoned=False)
    with pytest.raises(TrainingError, match=f"with {skip} the run goes on without such batches"):
        train_on("stopped", poisoned=False)
    resumed, console = train_on("stopped", skip, poisoned=True)
    assert [line["skipped"] for line in resumed.metrics] == [0, 1, 1]
    assert console.steps == 2 * (STEPS - 1)
    assert differences(straight._asdict(), resumed._asdict()) == []


def test_an_epoch_without_a_usable_batch_fails(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "trainer.on_nonfinite=skip")
    data = build_data(config)
    poison(data, "mu", slice(None))
    with pytest.raises(TrainingError, match="every batch of epoch 1 was skipped"):
        train(config, Watcher(), data=data)


def test_a_failed_run_says_so_and_is_tried_again(tmp_path):
    targets = synthetic_qm9.arrays()["targets"]
    targets[:, 2] = 1.0  # a deviation of zero
    data = synthetic_qm9.write(tmp_path / "data", targets=targets)
    config = config_of(data, tmp_path, *METHODS["ls"])
    with pytest.raises(TrainingError, match="task homo is nan"):
        run(config)
    record = record_path(config, config_hash(config))
    failure = json.loads((record / "FAILED.json").read_text())
    assert (failure["kind"], failure["epoch"], failure["step"]) == ("TrainingError", 1, 0)
    assert "homo" in failure["error"]
    synthetic_qm9.write(tmp_path / "data")
    assert run(config).state == "finished"
    assert not (record / "FAILED.json").exists()
    assert run(config).state == "already finished"


def test_a_missing_device_leaves_no_record(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path / "results", "method=ls")
    config["trainer"]["device"] = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ConfigError, match=r"trainer\.device"):
        run(config)
    assert not (tmp_path / "results").exists()


def test_single_task_networks_side_by_side_equal_one_alone(tiny_data, tmp_path, straight):
    config = config_of(tiny_data, tmp_path, "method=stl")
    data = build_data(config)
    task = next(task for task in data.tasks if task.name == "alpha")
    network = build_network(config, ["alpha"])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for epoch in (1, 2, 3):
        for batch in data.train_batches(epoch):
            optimizer.zero_grad()
            task.loss(network(batch)["alpha"], batch.targets["alpha"]).backward()
            optimizer.step()
    beside = straight("stl").state["network"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, beside[name])


def test_selection_rules_by_hand():
    tests = {1: (5.0, 50.0), 2: (3.0, 20.0), 3: (4.0, 30.0), 4: (8.0, 10.0)}
    history = [
        {"epoch": epoch, "test": {"a": {"mae": a}, "b": {"mae": b}}}
        for epoch, (a, b) in tests.items()
    ]
    rules, epochs = select(history, {"a": 2, "b": 3}, last_k=3)
    assert rules["last"] == {"a": {"mae": 8.0}, "b": {"mae": 10.0}}
    assert rules["last_k_mean"] == {"a": {"mae": 5.0}, "b": {"mae": 20.0}}
    assert rules["best_val"] == {"a": {"mae": 3.0}, "b": {"mae": 30.0}}
    assert epochs == {"last": 4, "last_k_mean": [2, 3, 4], "best_val": {"a": 2, "b": 3}}
    assert select(history, {"a": 1, "b": 1}, last_k=10)[1]["last_k_mean"] == [1, 2, 3, 4]


def learner_of(tiny_data, tmp_path, tasks, *metrics):
    """Return an optimiser group of QM9's tasks, with ``metrics`` in place of theirs where given."""
    config = config_of(tiny_data, tmp_path, "method=ls", "scheduler.patience=1")
    data = build_data(config)
    chosen = [task for task in data.tasks if task.name in tasks]
    if metrics:
        chosen = [replace(task, metrics=metrics) for task in chosen]
    references = {task.name: task.metrics[0].reference for task in chosen}
    optimizer = partial(build_optimizer, config["optimizer"])
    scheduler = partial(build_scheduler, config["scheduler"])
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    return OptimizerGroup(chosen, parameters, optimizer, scheduler), references


def test_the_best_epoch_is_the_latest_of_the_lowest_validation_delta(tiny_data, tmp_path):
    learner, reference = learner_of(tiny_data, tmp_path, ["mu", "cv"])
    for epoch, (mu, cv) in enumerate([(2, 2), (1, 2), (2, 1), (1, 2.5)], start=1):
        errors = {"mu": {"mae": mu * reference["mu"]}, "cv": {"mae": cv * reference["cv"]}}
        assert learner.criterion(errors, {}) == pytest.approx(100 * (mu + cv) / 2 - 100)
        learner.end_epoch(epoch, learner.criterion(errors, {}))
    assert learner.best_epoch == 3
    assert learner.best_criterion == pytest.approx(50)


@pytest.mark.parametrize(("tasks", "expected"), [(["mu"], 100), (["mu", "cv"], 0)])
def test_the_criterion_is_an_error_for_one_task_and_a_change_for_several(
    tasks, expected, tiny_data, tmp_path
):
    learner, reference = learner_of(tiny_data, tmp_path, tasks)
    for factor in (1.0, 0.5):
        errors = {task: {"mae": factor * value} for task, value in reference.items()}
        change = 100 * (factor - 1)
        assert learner.criterion(errors, {}) == pytest.approx(expected + change)


def test_the_learning_rate_falls_when_validation_stops_to_improve(tiny_data, tmp_path):
    learner, reference = learner_of(tiny_data, tmp_path, ["mu"])
    rates = []
    for epoch, mu in enumerate([2, 1, 1.5, 1.5, 1.5, 1.5], start=1):
        learner.end_epoch(epoch, learner.criterion({"mu": {"mae": mu * reference["mu"]}}, {}))
        rates.append(learner.learning_rate())
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 7e-4, 7e-4, 4.9e-4])
    assert learner.best_epoch == 2


LIKELIHOOD = Metric("ll", higher_is_better=True, reference=-2.0)
CORRELATION = Metric("r", higher_is_better=True, reference=0.0)
LOSSES = {"mu": 9.0, "cv": 1.0}


@pytest.mark.parametrize("tasks", [["mu"], ["mu", "cv"]])
def test_a_metric_below_zero_selects_and_schedules_by_its_direction(tasks, tiny_data, tmp_path):
    learner, _ = learner_of(tiny_data, tmp_path, tasks, LIKELIHOOD)
    rates = []
    for epoch, value in enumerate([-3, -1, -1.5, -1.5, -1.5], start=1):
        metrics = {task: {"ll": value} for task in tasks}
        learner.end_epoch(epoch, learner.criterion(metrics, {}))
        rates.append(learner.learning_rate())
    assert learner.best_epoch == 2
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 7e-4, 7e-4])


@pytest.mark.parametrize("reference", [0.0, None, math.nan, math.inf])
def test_metrics_that_nothing_can_be_relative_to_are_left_out(reference, tiny_data, tmp_path):
    other = replace(CORRELATION, reference=reference)
    learner, _ = learner_of(tiny_data, tmp_path, ["mu", "cv"], LIKELIHOOD, other)
    metrics = {"mu": {"ll": -1.0, "r": 0.5}, "cv": {"ll": -3.0, "r": 0.9}}
    assert learner.criterion(metrics, {}) == pytest.approx(0.0)
    (note,) = learner.score.note.splitlines()
    shown = "none" if reference is None else f"{reference:g}"
    assert f"mu r ({shown}), cv r ({shown})" in note
    assert "ll" not in note


@pytest.mark.parametrize("reference", [0.0, None])
def test_without_any_reference_the_mean_validation_loss_decides(reference, tiny_data, tmp_path):
    metric = replace(CORRELATION, reference=reference)
    learner, _ = learner_of(tiny_data, tmp_path, ["mu", "cv"], metric)
    rates = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 2.0, 2.0], start=1):
        losses = {"mu": loss, "cv": 3 * loss}
        assert learner.criterion({}, losses) == 2 * loss
        learner.end_epoch(epoch, learner.criterion({}, losses))
        rates.append(learner.learning_rate())
    assert learner.best_epoch == 2
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 7e-4, 7e-4])
    algorithm = supervised_of(config_of(tiny_data, tmp_path, "method=ls"), learner)
    assert algorithm.note.endswith("; the validation loss decides for mu, cv")
    algorithm.data.has_validation = False
    assert algorithm.note == algorithm.score.note


def supervised_of(config, *groups):
    """Return supervised learning on QM9 with these groups in place of its own."""
    data = build_data(config)
    algorithm = build_algorithm(config, data, torch.device("cpu"))
    algorithm.groups = list(groups)
    return algorithm


def test_the_delta_of_an_epoch_is_the_mean_over_groups_that_have_one(tiny_data, tmp_path):
    known, _ = learner_of(tiny_data, tmp_path, ["mu"], LIKELIHOOD)
    unknown, _ = learner_of(tiny_data, tmp_path, ["cv"], CORRELATION)
    config = config_of(tiny_data, tmp_path, "method=ls")
    metrics = {"validation": {"mu": {"ll": -1.0}, "cv": {"r": 0.5}}}
    for groups in ([known], [known, unknown]):
        algorithm = supervised_of(config, *groups)
        algorithm.validation_losses = {"cv": 2.0}
        told = algorithm.end_epoch(1, metrics)
        assert told == {"validation_loss": {"cv": 2.0}, "delta_m_validation": pytest.approx(-50)}
    assert unknown.best_criterion == 2.0


def test_the_published_values_of_our_data_sets_leave_nothing_out(tiny_data, tmp_path):
    learner, _ = learner_of(tiny_data, tmp_path, ["mu", "cv"])
    assert learner.score.note == "Δm is against the published STL"


def test_the_summary_holds_what_is_promised(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "variant=x1")
    path = run(config).path
    summary = json.loads((path / "summary.json").read_text())
    assert path.parent.name == "ls-x1"
    assert summary.keys() == {
        *("format", "status", "dataset", "architecture", "method", "protocol", "profile"),
        *("variant", "seed", "hash", "selection", "metrics", "selected_epochs", "tasks"),
        *("parameters", "seconds", "peak_memory_bytes", "epochs", "steps", "data", "device"),
        *("skipped", "solver_fallbacks", "step_log_lost", "untrained", "score"),
    }
    assert summary["status"] == "finished"
    assert (summary["dataset"], summary["architecture"]) == ("qm9", "mpnn")
    assert (summary["method"], summary["profile"], summary["variant"]) == ("ls", "smoke", "x1")
    assert (summary["epochs"], summary["steps"], summary["seed"]) == (3, TOTAL, 0)
    assert path.name == f"seed0-{summary['hash']}"
    history = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert summary["metrics"].keys() == {"last", "last_k_mean", "best_val"}
    assert summary["metrics"]["last"] == history[-1]["test"]
    best = min(history, key=lambda line: (line["delta_m_validation"], -line["epoch"]))
    assert summary["metrics"]["best_val"] == best["test"]
    network = build_network(config, build_data(config).task_names)
    total = sum(p.numel() for p in network.parameters())
    assert summary["parameters"] == {"total": total, "shared": total - 11 * (4 + 1)}
    phases = {"data", "forward", "method", "optimizer", "validation", "test", "checkpoint"}
    epoch = {"train_epoch", "train_epoch_cpu", "train_epoch_waiting"}
    assert summary["seconds"].keys() == phases | epoch
    assert all(summary["seconds"][name] > 0 for name in phases | epoch - {"train_epoch_waiting"})
    assert (summary["seconds"]["train_epoch_waiting"] or 0) >= 0
    assert 50e6 < summary["peak_memory_bytes"] < 50e9
    assert summary["data"]["kind"] == "real"
    assert set(summary["tasks"]["mu"]["metrics"]["mae"]) == {
        *("unit", "higher_is_better", "decimals", "reference"),
    }


def test_metrics_lines_hold_what_is_promised(straight):
    for number, line in enumerate(straight("stl").metrics, start=1):
        assert line["epoch"] == number
        assert line.keys() == {
            *("epoch", "train_loss", "validation", "test", "delta_m_validation", "weights"),
            *("learning_rate", "skipped", "solver_fallbacks"),
        }
        assert all(weight == 1 for weight in line["weights"].values())


def test_evaluation_loads_as_training_does(tiny_data, tmp_path):
    seen = []

    class Watched(Altered):
        def train_batches(self, epoch, start=0, **options):
            seen.append(options)
            return self.data.train_batches(epoch, start, **options)

        def evaluation_batches(self, split, **options):
            seen.append(options)
            return self.data.evaluation_batches(split, **options)

    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "trainer.epochs=1")
    train(config, data=Watched(build_data(config), None))
    assert seen == [{"workers": 0, "pin": False}] * 3
