"""Rows hold runs of one configuration, and each is held against its like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.comparison import Comparison, MethodRow
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.tables import render_tables
from tests.records.synthetic import SCENE_TASKS, finish, write_record

OTHER_METHOD = {"method": {"lambda_g": 7}}
OTHER_RATE = {"optimizer": {"lr": 0.5}}


def add(results: Path, label: str, seed: int, miou: float, **changes: Any) -> Path:
    values = {"semantic": {"miou": miou}, "depth": {"abs": 0.5}}
    return write_record(results, label, seed, values=values, tasks=SCENE_TASKS, **changes)


def compared(results: Path) -> Comparison:
    (found,) = compare(runs_under(find_records(results), None))
    return found


def rows(results: Path) -> dict[str, MethodRow]:
    return {row.name: row for row in compared(results).rows}


def test_a_row_never_mixes_configurations(tmp_path: Path) -> None:
    """The label is the same, the folder's hash says nothing: it differs with every seed."""
    add(tmp_path, "taskforce", 0, 40.0)
    add(tmp_path, "taskforce", 1, 44.0, settings=OTHER_METHOD)
    add(tmp_path, "taskforce", 2, 42.0)
    found = rows(tmp_path)
    assert {name: row.seeds for name, row in found.items()} == {
        "taskforce 0000abcd": (0, 2),
        "taskforce 0001abcd": (1,),
    }
    assert found["taskforce 0001abcd"].notes[0] == (
        "one of several configurations of taskforce: method.lambda_g=7"
    )
    assert found["taskforce 0000abcd"].hashes == ("0000abcd", "0002abcd")


@pytest.mark.parametrize("change", [{"trainer": {"epochs": 30.0}}, {"paths": {"data": "x"}}])
def test_what_changes_no_number_makes_no_row(tmp_path: Path, change: dict) -> None:
    add(tmp_path, "ls", 0, 40.0)
    add(tmp_path, "ls", 1, 44.0, settings=change)
    assert rows(tmp_path)["ls"].seeds == (0, 1)


def test_runs_of_one_seed_stay_apart_even_if_nothing_tells_them_apart(tmp_path: Path) -> None:
    add(tmp_path, "stl", 0, 40.0)
    add(tmp_path, "ls", 0, 40.0, hash8="aaaaaaaa")
    add(tmp_path, "ls", 0, 44.0, hash8="bbbbbbbb")
    add(tmp_path, "ls", 1, 42.0)
    found = rows(tmp_path)
    assert {name: row.seeds for name, row in found.items() if name != "stl"} == {
        "ls aaaaaaaa": (0, 1),
        "ls bbbbbbbb": (0,),
    }
    assert "one of several configurations of ls" in found["ls aaaaaaaa"].notes


def test_the_reference_has_the_settings_of_the_row(tmp_path: Path) -> None:
    add(tmp_path, "stl", 0, 40.0)
    add(tmp_path, "stl", 0, 20.0, hash8="bbbbbbbb", settings=OTHER_RATE)
    add(tmp_path, "ls", 0, 44.0)
    add(tmp_path, "ls", 0, 44.0, hash8="bbbbbbbb", settings=OTHER_RATE)
    add(tmp_path, "uw", 0, 44.0, settings={"optimizer": {"lr": 0.7}})
    found = rows(tmp_path)
    deltas = {name: row.score and row.score.mean for name, row in found.items()}
    assert deltas == {
        "stl 0000abcd": 0.0,
        "stl bbbbbbbb": 0.0,
        "ls 0000abcd": pytest.approx(-5.0),
        "ls bbbbbbbb": pytest.approx(-60.0),
        "uw": None,
    }


def test_an_ambiguous_reference_is_none(tmp_path: Path) -> None:
    add(tmp_path, "stl", 0, 40.0, hash8="aaaaaaaa")
    add(tmp_path, "stl", 0, 50.0, hash8="bbbbbbbb")
    add(tmp_path, "ls", 0, 44.0)
    assert rows(tmp_path)["ls"].score is None


def test_what_else_the_rows_differ_in_is_said(tmp_path: Path) -> None:
    for label in ("stl", "ls", "mgda"):
        add(tmp_path, label, 0, 40.0, settings={"optimizer": {"lr": 0.001}})
    add(tmp_path, "taskforce", 0, 40.0, settings=OTHER_RATE | OTHER_METHOD)
    said = "optimizer.lr: 0.5 in taskforce; 0.001 elsewhere"
    assert compared(tmp_path).differences == (said,)
    text = " ".join(render_tables(find_records(tmp_path)).split())
    assert f"The rows differ in more than the method. {said}." in text


def test_a_configuration_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    add(tmp_path, "ls", 0, 40.0)
    path = add(tmp_path, "mgda", 0, 40.0)
    (path / "config.yaml").write_text("a: *b")
    finish(path)
    found = compared(tmp_path)
    assert [row.name for row in found.rows] == ["ls", "mgda"]
    assert found.differences == ()


def test_a_row_is_called_by_the_label_of_its_runs(tmp_path: Path) -> None:
    add(tmp_path, "stl", 0, 40.0)
    add(tmp_path, "ls", 0, 41.0, title="Equal weights")
    add(tmp_path, "ls", 1, 42.0)
    add(tmp_path, "uw", 0, 43.0, title="Uncertainty")
    found = rows(tmp_path)
    assert {name: row.label for name, row in found.items()} == {
        "stl": "stl",
        "Equal weights": "ls",
        "Uncertainty": "uw",
    }
    assert found["Equal weights"].seeds == (0, 1)
    assert found["Uncertainty"].improvement == 0.75  # against LS, whatever that is called
    assert found["Uncertainty"].score is not None


def test_rows_of_one_label_are_told_apart_and_ranked_apart(tmp_path: Path) -> None:
    add(tmp_path, "ls", 0, 41.0, title="Ours", hash8="aaaaaaaa")
    add(tmp_path, "uw", 0, 43.0, title="Ours", hash8="bbbbbbbb")
    add(tmp_path, "dwa", 0, 45.0, title="ls")
    found = rows(tmp_path)
    assert {name: row.mean_rank for name, row in found.items()} == {
        "ls": 1.5,
        "Ours bbbbbbbb": 2.0,
        "Ours aaaaaaaa": 2.5,
    }
    assert found["ls"].label == "dwa"


def test_configurations_with_labels_of_their_own_need_no_hash(tmp_path: Path) -> None:
    add(tmp_path, "taskforce", 0, 40.0, title="Timid")
    add(tmp_path, "taskforce", 1, 44.0, settings=OTHER_METHOD, title="Bold")
    assert set(rows(tmp_path)) == {"Timid", "Bold"}


MLP = {"architecture": {"name": "mlp", "hidden_dim": 400}}
HEADS = {"architecture": {"name": "multihead", "hidden_dim": 400}}


def add_system(
    results: Path, label: str, seed: int, miou: float, network: dict, **changes: Any
) -> None:
    name = network["architecture"]["name"]
    hash8 = f"{seed:04x}{'aaaa' if name == 'mlp' else 'bbbb'}"
    system = {"dataset": "pendulum6", "settings": network, "architecture": name, "hash8": hash8}
    add(results, label, seed, miou, **(system | changes))


def test_systems_differ_in_architecture_within_one_table(tmp_path: Path) -> None:
    for seed in (0, 1):
        add_system(tmp_path, "ls", seed, 40.0, MLP)
        add_system(tmp_path, "ls", seed, 42.0, HEADS)
        add_system(tmp_path, "pcgrad", seed, 43.0, MLP, title="Surgery")
        add_system(tmp_path, "stl", seed, 41.0, MLP)
    found = compared(tmp_path)
    assert {row.name: row.seeds for row in found.rows} == dict.fromkeys(
        ("stl", "ls mlp", "ls multihead", "Surgery"), (0, 1)
    )
    assert all(row.score for row in found.rows)  # against the one STL that there is
    assert found.setting.architecture == "mlp and multihead"
    assert not found.differences
    assert " ls multihead |" in render_tables(find_records(tmp_path))


def test_systems_of_one_architecture_still_tell_what_else_differs(tmp_path: Path) -> None:
    wide = {"architecture": {"name": "mlp", "hidden_dim": 800}}
    add_system(tmp_path, "ls", 0, 40.0, MLP)
    add_system(tmp_path, "uw", 0, 42.0, wide)
    add_system(tmp_path, "dwa", 0, 42.0, HEADS)
    (told,) = compared(tmp_path).differences
    assert told.startswith("architecture.hidden_dim: 800 in uw")


def test_networks_of_a_data_set_that_compares_methods_have_a_table_each(tmp_path: Path) -> None:
    add_system(tmp_path, "ls", 0, 40.0, MLP, dataset="qm9")
    add_system(tmp_path, "ls", 0, 42.0, HEADS, dataset="qm9")
    found = compare(runs_under(find_records(tmp_path), None))
    assert [[row.name for row in each.rows] for each in found] == [["ls"], ["ls"]]
