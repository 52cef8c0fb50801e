from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.scores import (
    DeltaM,
    MeanOf,
    Score,
    comparable,
    delta_m,
    delta_t,
    describe_incomparable,
    incomparable,
    relative_changes,
    score_of,
)
from mtl_bench.scores import published as published_values
from mtl_bench.tasks import ControlTask, Metric

RESULTS = Path(__file__).parents[1] / "results"
PUBLISHED = RESULTS / "published"

NYUV2 = {
    "semantic": {"miou": True, "pixacc": True},
    "depth": {"abs_err": False, "rel_err": False},
    "normal": {
        "angle_mean": False,
        "angle_median": False,
        "within_11_25": True,
        "within_22_5": True,
        "within_30": True,
    },
}
CITYSCAPES = {
    "semantic": {"miou": True},
    "instance": {"inst_l1_px": False},
    "disparity": {"disparity_mse": False},
}


def test_by_hand() -> None:
    directions = {"a": {"x": True, "y": False}, "b": {"z": False}}
    reference = {"a": {"x": 50.0, "y": 2.0}, "b": {"z": 4.0}}
    values = {"a": {"x": 60.0, "y": 2.2}, "b": {"z": 3.0}}
    changes = relative_changes(values, reference, directions)
    assert changes is not None
    assert changes["a"] == pytest.approx({"x": -20.0, "y": 10.0})
    assert changes["b"] == pytest.approx({"z": -25.0})
    assert delta_m(values, reference, directions) == pytest.approx(-35.0 / 3)
    assert delta_t(values, reference, directions) == pytest.approx((-5.0 - 25.0) / 2)


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ({"a": {"x": 1.0}}, {}),
        ({"a": {"x": 1.0}}, {"a": {}}),
        ({"a": {"x": 1.0}}, {"a": {"x": None}}),
        ({"a": {"x": 1.0}}, {"a": {"x": 0.0}}),
        ({"a": {"x": 1.0}}, {"a": {"x": -0.0}}),
        ({"a": {"x": 1.0}}, {"a": {"x": math.nan}}),
        ({"a": {"x": 1.0}}, {"a": {"x": -math.inf}}),
        ({"a": {"x": None}}, {"a": {"x": 1.0}}),
        ({}, {"a": {"x": 1.0}}),
    ],
)
def test_no_value_or_no_usable_reference_gives_none(values: dict, reference: dict) -> None:
    directions = {"a": {"x": False}}
    assert delta_m(values, reference, directions) is None
    assert delta_t(values, reference, directions) is None


@pytest.mark.parametrize(
    ("value", "single", "higher", "change"),
    [
        (-1.0, -2.0, True, -50.0),  # a log-likelihood that rose
        (-3.0, -2.0, True, 50.0),
        (-3.0, -2.0, False, -50.0),  # an energy that fell
        (0.5, -0.25, True, -300.0),  # R2 from below zero to above it
        (-0.5, 0.25, True, 300.0),
        (0.0, -4.0, False, 100.0),
    ],
)
def test_the_change_is_relative_to_the_size_of_the_reference(
    value: float, single: float, higher: bool, change: float
) -> None:
    tables = {"s": {"m": value}}, {"s": {"m": single}}, {"s": {"m": higher}}
    assert delta_m(*tables) == pytest.approx(change)
    assert delta_t(*tables) == pytest.approx(change)


numbers = st.floats(0.01, 100.0) | st.floats(-100.0, -0.01)


@st.composite
def metrics(draw: st.DrawFn) -> tuple[dict, dict, dict]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    names = {f"t{i}": [f"m{j}" for j in range(count)] for i, count in enumerate(shape)}
    made = [
        {t: {m: draw(kind) for m in ms} for t, ms in names.items()}
        for kind in (numbers, numbers, st.booleans())
    ]
    return made[0], made[1], made[2]


@given(metrics())
def test_zero_at_the_reference(drawn: tuple[dict, dict, dict]) -> None:
    _, reference, directions = drawn
    assert delta_m(reference, reference, directions) == 0
    assert delta_t(reference, reference, directions) == 0


@given(metrics(), st.floats(0.01, 0.5))
def test_better_everywhere_is_negative_and_in_percent(
    drawn: tuple[dict, dict, dict], gain: float
) -> None:
    _, reference, directions = drawn
    better = {
        t: {m: s + (gain if directions[t][m] else -gain) * abs(s) for m, s in ms.items()}
        for t, ms in reference.items()
    }
    assert delta_m(better, reference, directions) == pytest.approx(-100 * gain)
    assert delta_t(better, reference, directions) == pytest.approx(-100 * gain)


@given(metrics())
def test_order_of_tasks_and_metrics_does_not_matter(drawn: tuple[dict, dict, dict]) -> None:
    turned = [
        {t: dict(reversed(ms.items())) for t, ms in reversed(table.items())} for table in drawn
    ]
    assert delta_m(*turned) == pytest.approx(delta_m(*drawn))
    assert delta_t(*turned) == pytest.approx(delta_t(*drawn))


@given(metrics(), metrics())
def test_mean_of_delta_is_delta_of_mean(
    drawn: tuple[dict, dict, dict], other: tuple[dict, dict, dict]
) -> None:
    first, reference, directions = drawn
    second = {t: {m: other[0].get(t, {}).get(m, 1.0) for m in ms} for t, ms in reference.items()}
    middle = {t: {m: (first[t][m] + second[t][m]) / 2 for m in ms} for t, ms in reference.items()}
    for delta in (delta_m, delta_t):
        of_mean = delta(middle, reference, directions)
        both = [delta(values, reference, directions) for values in (first, second)]
        assert of_mean == pytest.approx(sum(x for x in both if x is not None) / 2, abs=1e-6)


@given(metrics())
def test_one_metric_a_task_makes_both_the_same(drawn: tuple[dict, dict, dict]) -> None:
    single = [{t: {"m0": ms["m0"]} for t, ms in table.items()} for table in drawn]
    assert delta_t(*single) == pytest.approx(delta_m(*single))


REFERENCES = {
    "a": {"known": -2.0, "zero": 0.0, "missing": None},
    "b": {"broken": math.nan, "endless": math.inf},
}
COUNTED = {
    "a": {"known": True, "zero": True, "missing": False},
    "b": {"broken": False, "endless": True, "never": False},
    "c": {"never": True},
}


def test_what_cannot_be_compared_is_told_apart_from_the_rest() -> None:
    assert comparable(REFERENCES, COUNTED) == {"a": {"known": True}}
    assert describe_incomparable(incomparable(REFERENCES, COUNTED)) == (
        "a zero (0), a missing (none), b broken (nan), b endless (inf), b never (none), "
        "c never (none)"
    )


def test_nothing_to_compare_has_no_delta() -> None:
    assert comparable({}, COUNTED) == {}
    for delta in (delta_m, delta_t):
        assert delta({"a": {"known": 1.0}}, {}, {}) is None
        assert delta({"a": {"known": 1.0}}, {}, {"a": {}}) is None


def published(name: str, directions: dict) -> dict[str, tuple[dict, dict]]:
    """Method -> (metrics by task, printed row)."""
    with (PUBLISHED / name).open(encoding="utf-8") as stream:
        return {
            row["method"]: (
                {t: {m: float(row[m]) for m in ms} for t, ms in directions.items()},
                row,
            )
            for row in csv.DictReader(stream)
        }


def misses(table: dict, directions: dict) -> dict[str, tuple[float, float]]:
    """Method -> distance of the recomputed Δm and Δt from the printed ones."""
    reference = table["STL"][0]
    found = {}
    for method, (values, row) in table.items():
        m, t = (delta(values, reference, directions) for delta in (delta_m, delta_t))
        assert m is not None
        assert t is not None
        printed_t = float(row.get("delta_t", row["delta_m"]))
        found[method] = (abs(m - float(row["delta_m"])), abs(t - printed_t))
    return found


def test_table_1_of_the_paper() -> None:
    found = misses(published("table1_nyuv2.csv", NYUV2), NYUV2)
    assert len(found) == 14
    exact = {method for method, miss in found.items() if max(miss) < 0.01}
    assert exact == {
        *("STL", "RLW", "DWA", "UW", "MGDA", "GradDrop", "PCGrad", "CAGrad", "IMTL"),
    }
    assert max(m for m, _ in found.values()) < 0.32
    assert max(t for _, t in found.values()) < 0.48


@pytest.mark.parametrize(
    ("name", "rows"), [("table2_cityscapes.csv", 14), ("table9_alternative_cityscapes.csv", 7)]
)
def test_cityscapes_tables_of_the_paper(name: str, rows: int) -> None:
    found = misses(published(name, CITYSCAPES), CITYSCAPES)
    assert len(found) == rows
    assert max(m for m, _ in found.values()) < 0.72


def test_the_score_of_every_committed_epoch_to_the_bit() -> None:
    """Those of STL are means over its networks, which rounds otherwise."""
    compared = dict.fromkeys((DeltaM, MeanOf), 0)
    for path in RESULTS.glob("*/*/*/seed*/summary.json"):
        summary = json.loads(path.read_text(encoding="utf-8"))
        if summary["method"] == "stl":
            continue
        score = score_of(summary.get("score"), summary["tasks"])
        for text in (path.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            split = "validation" if "validation" in line else "test"
            assert score.value(line[split]) == line[f"{score.key}_{split}"], path
            compared[type(score)] += 1
    assert compared[DeltaM] > 2000
    assert compared[MeanOf] > 1000


ACCURACY = Metric("accuracy", "%", higher_is_better=True, decimals=1, reference=50.0)
ERROR = Metric("error", reference=2.0)
SPECS = (ControlTask("a", "A", (ACCURACY, ERROR)), ControlTask("b", "B", (ACCURACY,)))
FOUND = {"a": {"accuracy": 60.0, "error": 1.0}, "b": {"accuracy": 40.0}}


def test_a_mean_has_the_unit_and_direction_of_its_metric() -> None:
    score = MeanOf.of("accuracy", SPECS)
    assert score.value(FOUND) == pytest.approx(50.0)
    assert score.value(FOUND, ("b",)) == pytest.approx(40.0)
    assert score.better(60.0, 50.0)
    assert not score.better(50.0, 50.0)
    assert (score.heading, score.text(50.0)) == ("accuracy [%] ↑", "50.0 %")
    assert score.criterion(FOUND, ("a", "b")) < score.criterion(FOUND, ("b",))


def test_a_mean_is_over_the_tasks_that_report_the_metric() -> None:
    score = MeanOf.of("error", SPECS)
    assert score.value(FOUND) == pytest.approx(1.0)
    assert score.covers(("a", "b"))
    assert not score.covers(("b",))
    assert score.criterion(FOUND, ("a",)) == pytest.approx(1.0)
    assert score.value({"a": {"error": None}}) is None
    assert score.value({"b": {"accuracy": 1.0}}) is None


def test_the_delta_of_task_specifications() -> None:
    score = DeltaM.of(SPECS)
    assert score.value(FOUND) == pytest.approx((-20.0 - 50.0 + 20.0) / 3)
    assert score.value(FOUND, ("a",)) == pytest.approx(-35.0)
    assert score.criterion(FOUND, ("a",)) == pytest.approx(65.0)
    assert score.better(-1.0, 1.0)
    assert (score.heading, score.text(2.0)) == ("Δm [%] ↓", "+2.0 %")


@pytest.mark.parametrize(
    "score", [DeltaM.of(SPECS), *(MeanOf.of(metric.name, SPECS) for metric in (ACCURACY, ERROR))]
)
def test_a_score_comes_back_from_its_record(score: Score) -> None:
    tasks = {task.name: task.describe() for task in SPECS}
    told = score_of(json.loads(json.dumps(score.describe())), tasks)
    assert (told.heading, told.text(1.0), told.key) == (score.heading, score.text(1.0), score.key)
    assert told.value(FOUND) == score.value(FOUND)


@pytest.mark.parametrize(
    "described",
    [{}, {"kind": "sum"}, {"kind": "mean", "metric": "x"}, {"kind": "delta_m", "metric": "x"}],
)
def test_what_describes_no_score_is_refused(described: dict) -> None:
    with pytest.raises(ValueError, match="neither Δm nor the mean of a metric"):
        score_of(described)


def test_a_record_that_names_no_score_has_the_delta_of_its_published_values() -> None:
    for path in RESULTS.glob("*/*/*/seed*/summary.json"):
        summary = json.loads(path.read_text(encoding="utf-8"))
        if "score" in summary:
            continue
        score = score_of(None, summary["tasks"])
        expected = delta_m(summary["metrics"]["last"], *published_values(summary["tasks"]))
        assert score.value(summary["metrics"]["last"]) == expected
