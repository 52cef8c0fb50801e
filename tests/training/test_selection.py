"""The epoch that a run reports is chosen by the validation split, never by the test split."""

from dataclasses import replace
from statistics import fmean

import pytest

from mtl_bench.config.build import build_data
from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.errors import ConfigError
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.tasks import Metric
from tests.training.runs import METHODS, Watcher, config_of, differences, stop_at, train


def validation_errors(end, task):
    """Return the task's validation error of every epoch."""
    return {line["epoch"]: line["validation"][task]["mae"] for line in end.metrics}


@pytest.mark.parametrize("method", ["ls", "stl"])
def test_the_shown_delta_is_that_of_the_validation_metrics(method, straight):
    for line in straight(method).metrics:
        changes = [
            100 * (line["validation"][target.name]["mae"] - target.reference) / target.reference
            for target in TARGETS
        ]
        assert line["delta_m_validation"] == pytest.approx(fmean(changes))


def test_a_shared_network_is_reported_where_its_validation_delta_is_lowest(straight):
    end = straight("ls")
    best = min(end.metrics, key=lambda line: (line["delta_m_validation"], -line["epoch"]))
    expected = {target.name: best["epoch"] for target in TARGETS}
    assert end.selected["selected_epochs"]["best_val"] == expected
    assert end.selected["metrics"]["best_val"] == best["test"]


def test_every_single_task_network_is_reported_where_its_own_validation_error_is_lowest(straight):
    end = straight("stl")
    tests = {line["epoch"]: line["test"] for line in end.metrics}
    for target in TARGETS:
        errors = validation_errors(end, target.name)
        best = min(errors, key=lambda epoch: (errors[epoch], -epoch))
        assert end.selected["selected_epochs"]["best_val"][target.name] == best
        assert end.selected["metrics"]["best_val"][target.name] == tests[best][target.name]


class Likelihood(MeanAbsoluteError):
    """A number that is below zero, and better when higher, as a log-likelihood is."""

    def compute(self):
        return {"ll": -super().compute()["mae"]}


class Announced(Watcher):
    """Remembers what is said at the start."""

    def on_train_start(self, trainer):
        self.note = trainer.algorithm.note


def measured_by(config, accumulator, metric):
    """Return QM9 with this metric in place of its own."""
    data = build_data(config)
    data.tasks = tuple(
        replace(task, metrics=(metric,), accumulator=accumulator) for task in data.tasks
    )
    return data


def best_of(lines, score):
    """Return the latest epoch of the lowest score."""
    return min(lines, key=lambda line: (score(line), -line["epoch"]))["epoch"]


@pytest.mark.parametrize("reference", [-0.5, 2.0])
def test_the_epoch_with_the_best_likelihood_is_selected(reference, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "optimizer.lr=0.05")
    metric = Metric("ll", higher_is_better=True, reference=reference)
    end = train(config, data=measured_by(config, Likelihood, metric))

    def mean_of(line):
        return fmean(values["ll"] for values in line["validation"].values())

    assert len({mean_of(line) for line in end.metrics}) == 3
    best = best_of(end.metrics, lambda line: -mean_of(line))
    assert set(end.selected["selected_epochs"]["best_val"].values()) == {best}
    for line in end.metrics:
        change = 100 * (reference - mean_of(line)) / abs(reference)
        assert line["delta_m_validation"] == pytest.approx(change)


@pytest.mark.parametrize(
    ("method", "reference"), [("ls", None), ("ls", float("nan")), ("stl", 0.0)]
)
def test_without_a_usable_reference_the_validation_loss_selects(
    method, reference, tiny_data, tmp_path
):
    config = config_of(tiny_data, tmp_path, *METHODS[method])
    data = measured_by(config, Likelihood, Metric("ll", higher_is_better=True, reference=reference))
    start = Announced()
    end = train(config, start, data=data)
    assert start.note.endswith("; the validation loss decides for " + ", ".join(data.task_names))
    assert not any(key.startswith("delta_m") for line in end.metrics for key in line)
    found = end.selected["selected_epochs"]["best_val"]
    for task in data.task_names:
        tasks = data.task_names if method == "ls" else (task,)
        best = best_of(
            end.metrics, lambda line, tasks=tasks: fmean(line["validation_loss"][t] for t in tasks)
        )
        assert found[task] == best
    assert train(config, data=data).selected == end.selected


class SquaredError:
    """The mean squared error of all samples at once, which is QM9's loss."""

    def __init__(self):
        self.errors = []

    def update(self, prediction, target):
        self.errors += (prediction - target).square().tolist()

    def compute(self):
        return {"mse": fmean(self.errors)}


def test_the_validation_loss_is_that_of_the_whole_set_however_it_is_cut(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "dataset.batch_size=7")
    data = measured_by(config, SquaredError, Metric("mse"))
    for line in train(config, data=data).metrics:
        for task, loss in line["validation_loss"].items():
            assert loss == pytest.approx(line["validation"][task]["mse"], rel=1e-5)


def test_stopped_and_resumed_the_validation_loss_selects_the_same(tiny_data, tmp_path):
    def run(folder, *watchers):
        config = config_of(tiny_data, tmp_path / folder, *METHODS["ls"])
        for watcher in watchers:
            train(config, watcher, data=measured_by(config, Likelihood, Metric("ll")))
        return train(config, data=measured_by(config, Likelihood, Metric("ll")))

    straight = run("straight")
    assert differences(straight._asdict(), run("stopped", stop_at(6))._asdict()) == []


@pytest.mark.parametrize("method", ["ls", "stl"])
def test_a_data_set_may_be_scored_by_the_mean_of_a_metric(method, tiny_data, tmp_path):
    """Here one that is below zero and has a reference, of which Δm would be made."""
    settings = (*METHODS[method], "optimizer.lr=0.05", "scheduler.patience=0", "trainer.epochs=4")
    config = config_of(tiny_data, tmp_path, *settings)
    data = measured_by(
        config, Likelihood, Metric("ll", higher_is_better=True, reference=2.0, decimals=4)
    )
    data.score = "ll"
    end = train(config, data=data)
    for line in end.metrics:
        found = [values["ll"] for values in line["validation"].values()]
        assert line["ll_validation"] == pytest.approx(fmean(found))
        assert not {"delta_m_validation", "validation_loss"} & line.keys()
    for task in data.task_names:
        tasks = data.task_names if method == "ls" else (task,)
        best = best_of(
            end.metrics,
            lambda line, tasks=tasks: -fmean(line["validation"][t]["ll"] for t in tasks),
        )
        assert end.selected["selected_epochs"]["best_val"][task] == best


def test_a_score_that_no_task_reports_is_refused(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"])
    data = build_data(config)
    data.score = "accuracy"
    with pytest.raises(ConfigError, match="mean of accuracy, which no task reports"):
        train(config, data=data)
