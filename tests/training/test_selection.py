"""The epoch that a run reports is chosen by the validation split, never by the test split."""

from statistics import fmean

import pytest

from mtl_bench.datasets.qm9_targets import TARGETS


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
