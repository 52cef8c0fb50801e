from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from mtl_bench.config.groups import find_config_folder
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.page import data
from mtl_bench.reporting.page.data import Curves, page_data, thin_out
from mtl_bench.reporting.page.series import epoch_curves, step_curves
from mtl_bench.reporting.statistics import compare, compare_parts, runs_under
from mtl_bench.reporting.tables import table_of
from tests.records.campaign import METHODS, write_campaign
from tests.records.synthetic import qm9_tasks, scaled, unseal, write_record
from tests.reporting.page.runs import (
    EVIL,
    EVIL_VARIANT,
    add_run,
    add_steps,
    write_profile,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_profile(tmp_path_factory.mktemp("page") / "results")


@pytest.fixture(scope="module")
def page(folder: Path) -> dict[str, Any]:
    return page_data(find_records(folder.parent), "mini", folder)


@pytest.fixture(scope="module")
def rooms(page: dict[str, Any]) -> dict[str, Any]:
    return next(dataset for dataset in page["datasets"] if dataset["name"] == "rooms")


def test_rows_are_those_of_the_statistics(folder: Path, rooms: dict[str, Any]) -> None:
    """Every number of the page comes from ``compare_parts``, under every rule."""
    records = find_records(folder.parent, dataset="rooms")
    assert [found["rule"] for found in rooms["results"]] == ["", "last"]
    for found in rooms["results"]:
        expected = compare_parts(runs_under(records, found["rule"] or None))
        shown = [row for comparison in found["comparisons"] for row in comparison["rows"]]
        sources = [row for comparison in expected for row in comparison.rows]
        assert [row["name"] for row in shown] == [row.name for row in sources]
        for row, source in zip(shown, sources, strict=True):
            for cell, spread in (
                (row["score"], source.score),
                (row["more"]["Δt [%] ↓"], source.delta_t),
                *zip(row["metrics"], source.metrics, strict=True),
            ):
                assert cell["value"] == (None if spread is None else spread.mean)
                assert cell.get("spread") == (None if spread is None else spread.sd)
            assert row["cost"]["value"] == source.epoch_cost.ratio
            assert row["cost_cpu"]["value"] == source.epoch_cost.cpu
            assert row["cost_seeds"] == source.epoch_cost.seeds
            assert row["mean_rank"]["value"] == source.mean_rank
            assert row["seeds"] == list(source.seeds)


def test_the_best_is_marked_only_where_the_tables_mark_it(tmp_path: Path) -> None:
    """By intervals over seeds, not by the mean: the third method is within the noise."""
    factors = {"stl": 1.0, "taskforce": 0.7, "ls": 1.3, "dwa": 1.31}
    for label, factor in factors.items():
        for seed in (0, 1, 2):
            add_run(tmp_path, label, seed, factor * (1 + seed / 50), dataset="rooms")
    records = find_records(tmp_path)
    (dataset,) = page_data(records, "mini", tmp_path / "mini")["datasets"]
    (shown,) = dataset["results"][0]["comparisons"]
    table = table_of(compare(runs_under(records, None))[0])
    marks = {
        row["name"]: [cell.get("mark", "") for cell in row["metrics"]] for row in shown["rows"]
    }
    for index, name in enumerate(table.names):
        assert marks[name] == [column[index].mark for column in table.metrics.cells]
    assert {name: set(found) for name, found in marks.items()} == {
        "stl": {""},
        "taskforce": {"best"},
        "ls": {""},
        "dwa": {""},
    }
    assert [row["score"].get("mark") for row in shown["rows"] if row["name"] == "taskforce"] == [
        "best"
    ]


def test_the_mean_over_tasks_has_a_column_where_it_differs(tmp_path: Path) -> None:
    """With one metric per task Δt is Δm."""
    for label, factor in (("stl", 1.0), ("ls", 1.3)):
        add_run(tmp_path, label, 0, factor, dataset="rooms")
        write_record(tmp_path, label, 0, values=scaled(factor), tasks=qm9_tasks())
    datasets = page_data(find_records(tmp_path), "mini", tmp_path / "mini")["datasets"]
    heads = {
        dataset["name"]: [head["title"] for head in comparison["heads"]]
        for dataset in datasets
        for comparison in dataset["results"][0]["comparisons"]
    }
    assert heads == {"qm9": ["95 %"], "rooms": ["95 %", "Δt"]}


def test_the_seeds_of_delta_have_a_column_where_a_row_has_more(tmp_path: Path) -> None:
    for label, seeds in (("stl", (0,)), ("ls", (0, 1, 2))):
        for seed in seeds:
            write_record(tmp_path, label, seed, values=scaled(1.3), tasks=qm9_tasks())
    (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path / "mini")["datasets"]
    (comparison,) = dataset["results"][0]["comparisons"]
    (head,) = (head for head in comparison["heads"] if head["title"] == "n of Δm")
    own = {row["label"]: row["more"][head["key"]]["text"] for row in comparison["rows"]}
    assert own == {"stl": "1", "ls": "1"}


def row_of(rooms: dict[str, Any], name: str) -> dict[str, Any]:
    found = rooms["results"][0]["comparisons"]
    return next(row for comparison in found for row in comparison["rows"] if row["name"] == name)


def test_missing_values_are_dashes(rooms: dict[str, Any]) -> None:
    row = row_of(rooms, "uw")
    assert row["score"] == {"text": "–", "value": None}
    assert [cell["text"] for cell in row["metrics"]] == ["28.57", "42.86", "–", "35.0"]
    assert row["notes"] == ["no Δm: no value here of depth abs"]


def test_a_seed_in_two_configurations_keeps_the_methods_label(rooms: dict[str, Any]) -> None:
    assert row_of(rooms, "dwa aaaaaaaa")["label"] == "dwa"
    assert row_of(rooms, f"rlw-{EVIL_VARIANT}")["label"] == f"rlw-{EVIL_VARIANT}"


def test_runs_that_differ_in_the_seed_alone_have_one_configuration(tmp_path: Path) -> None:
    for seed in (0, 1):
        add_run(tmp_path, "ls", seed, 1.0, dataset="rooms")
        add_run(tmp_path, "uw", seed, 1.0, dataset="rooms")
    changes = {"hash8": "bbbbbbbb", "settings": {"optimizer": {"lr": 0.5}}}
    add_run(tmp_path, "ls", 2, 1.0, dataset="rooms", **changes)
    (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path / "mini")["datasets"]
    found = {(run["label"], run["seed"]): run["configuration"] for run in dataset["runs"]}
    assert found["ls", 0] == found["ls", 1]
    assert len({found["ls", 0], found["ls", 2], found["uw", 0]}) == 3
    add_run(tmp_path, "ls", 0, 1.1, dataset="rooms", hash8="cccccccc")  # of other code
    (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path / "mini")["datasets"]
    twice = [
        run["configuration"] for run in dataset["runs"] if run["label"] == "ls" and run["seed"] == 0
    ]
    assert len(set(twice)) == 2


def test_every_state_is_listed(rooms: dict[str, Any]) -> None:
    grid = rooms["grid"]
    assert grid["seeds"] == [0, 1, 2]
    assert grid["labels"][:2] == ["stl", "ls"]
    shown = {
        label: [[rooms["runs"][number]["progress"] for number in cell] for cell in cells]
        for label, cells in zip(grid["labels"], grid["cells"], strict=True)
    }
    assert shown["stl"] == [["done"]] * 3
    assert shown["dwa"] == [["done", "done"], [], []]
    assert shown["cagrad"] == [["failed 2/6"], [], []]
    assert shown["pcgrad"] == [[], ["failed 0/?"], []]  # as its metrics.jsonl can't be read
    assert shown["igbv2"] == [[], [], ["interrupted 0/?"]]


def run_of(rooms: dict[str, Any], label: str) -> dict[str, Any]:
    return next(run for run in rooms["runs"] if run["label"] == label)


def test_a_task_that_was_never_labelled_is_told(tmp_path: Path) -> None:
    tasks = qm9_tasks("mu", "cv")
    own = {"values": scaled(1.0), "tasks": tasks, "untrained": ["cv"]}
    write_record(tmp_path, "ls", 0, **own)
    page = page_data(find_records(tmp_path), "mini", tmp_path / "mini")
    (qm9,) = page["datasets"]
    facts = dict(zip(page["facts"], run_of(qm9, "ls")["facts"], strict=True))
    assert facts["no training label of"] == "cv"
    assert any("no training label of Cv" in note for note in row_of(qm9, "ls")["notes"])


def test_an_error_is_kept_whole(rooms: dict[str, Any]) -> None:
    assert run_of(rooms, "cagrad")["error"] == " ".join(EVIL.split()) + r" \ud800"


def test_links_lead_from_the_page_to_the_record(folder: Path, rooms: dict[str, Any]) -> None:
    for run in rooms["runs"]:
        assert (folder / unquote(run["link"])).is_dir()
        assert not set(run["link"]) & set("<>\"'#& ")


def test_curves_of_unfinished_runs_are_there_with_what_can_be_read(rooms: dict[str, Any]) -> None:
    run = run_of(rooms, "pcgrad")
    assert run["damaged"] == ["part-000000001.parquet"]
    assert run["steps"][""]["weight"]["curves"]["normal"][0] is None
    assert run["epochs"]["curves"]["loss"]["semantic"] == [1, 0.5, 0.3333, 0.1]
    assert run["epochs"]["curves"]["loss"]["depth"] == [1, 0.5, 0.3333, None]
    assert run["kind"] == "procedural"


def test_records_without_hashes_and_missing_parts_are_told(tmp_path: Path) -> None:
    paths = [add_run(tmp_path, "ls", seed, 1.0, dataset="rooms") for seed in (0, 1)]
    unseal(paths[1])
    (paths[1] / "steps" / "part-000000301.parquet").unlink()
    (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path / "mini")["datasets"]
    assert [run["progress"] for run in dataset["runs"]] == ["done", "done unsealed"]
    assert [run["missing"] for run in dataset["runs"]] == ["", "301 to 600"]
    (row,) = dataset["results"][0]["comparisons"][0]["rows"]
    assert "seed 1 unsealed: a change of the record would go unnoticed" in row["notes"]


def test_a_run_without_any_file_has_no_curves(rooms: dict[str, Any]) -> None:
    run = run_of(rooms, "igbv2")
    assert run["epochs"]["bins"] == 0
    assert run["steps"] == {"": {}}
    assert run["config"] is None


def test_kinds_of_data_are_told_apart(page: dict[str, Any]) -> None:
    kinds = {dataset["name"]: dataset["kinds"] for dataset in page["datasets"]}
    assert kinds == {"rooms": ["procedural"], "streets": ["real"]}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"architecture": "mtan"}, False),
        ({"data": {"kind": "procedural", "source": "made up", "manifest": "0"}}, False),
    ],
)
def test_published_numbers_stand_beside_real_data_of_the_same_network(
    tmp_path: Path, changes: dict[str, Any], shown: bool
) -> None:
    for label in ("stl", "alignedmtl", "torchjd"):
        write_record(tmp_path, label, 0, values=scaled(1.5), tasks=qm9_tasks(), **changes)
    (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path)["datasets"]
    comparison = dataset["results"][0]["comparisons"][0]
    cells = [[cell["text"] for cell in row["published"]] for row in comparison["rows"]]
    text = (find_config_folder().parent / "results" / "published" / "table2_qm9.csv").read_text()
    paper = dict(line.split(",") for line in text.splitlines())
    assert comparison["published"] == (["Δm"] if shown else [])
    assert cells == ([[paper["STL"]], [paper["Aligned-MTL"]], ["–"]] if shown else [[], [], []])


def test_curves_are_thinned_until_they_fit(tmp_path: Path) -> None:
    add_steps(tmp_path, 900, gram=True)
    curves = Curves(
        epoch_curves(tmp_path / "none", "delta_m"), {"": step_curves(tmp_path / "steps")}
    )
    whole = len(json.dumps(curves.steps[""].curves[0].tree()))
    (same,) = thin_out([curves], 10 * whole)
    assert same.steps[""].curves[0].width == 3
    (thin,) = thin_out([curves], whole)
    assert thin.steps[""].curves[0].width == 6
    (least,) = thin_out([curves], 1)
    assert least.steps[""].curves[0].sums_CB.shape[1] >= 50
    size = len(json.dumps(least.steps[""].curves[0].tree()))
    assert len(thin_out([curves] * 9, 4 * size)) in (2, 3)  # each has other curves, too


def test_the_page_of_many_runs_has_the_curves_of_the_first_seeds_of_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many runs there are the page stays small; the numbers of all are there."""
    monkeypatch.setattr(data, "CHARACTERS", 1_000_000)
    write_campaign(tmp_path, 120)
    records = find_records(tmp_path)
    page = page_data(records, "mini", tmp_path / "mini")
    assert sum(len(json.dumps(dataset)) for dataset in page["datasets"]) < 1_600_000
    for dataset in page["datasets"]:
        seeds = dict[str, list[int]]()
        for run in dataset["runs"]:
            assert run["metrics"]
            assert len(run["metrics"]) == len(dataset["headers"][run["headers"]])
            assert ("config" in run) == ("environment" in run) == ("epochs" in run)
            if "epochs" in run:
                assert run["steps"][""]["weight"]["bins"] >= 50
                seeds.setdefault(run["label"], []).append(run["seed"])
        assert seeds.keys() == set(METHODS)
        lengths = {len(own) for own in seeds.values()}
        assert max(lengths) - min(lengths) <= 1
        assert all(own == list(range(len(own))) for own in seeds.values())
    shown = sum("epochs" in run for dataset in page["datasets"] for run in dataset["runs"])
    assert page["left_out"] == 120 - shown > 0


def test_many_rows_are_shown_under_their_own_rule_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("stl", "ls", "uw"):
        add_run(tmp_path, label, 0, 1.0, dataset="rooms")
    for most, rules, left_out in ((3, ["", "last"], []), (2, [""], ["last"])):
        monkeypatch.setattr(data, "MOST", most)
        (dataset,) = page_data(find_records(tmp_path), "mini", tmp_path)["datasets"]
        assert [found["rule"] for found in dataset["results"]] == rules
        assert dataset["left_out_rules"] == left_out
