"""The table of weights: shares of the last updates against hand-made step logs."""

import json
import shutil

import numpy as np
import pytest

from mtl_bench.cli import main
from mtl_bench.records.reader import find_records
from mtl_bench.records.steps import StepLog
from mtl_bench.reporting.run_tables import render_runs
from tests.records.synthetic import finish
from tests.reporting.figures.records import write_run


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def write_weights(path, weights, saturated):
    shutil.rmtree(path / "steps")
    log = StepLog(path / "steps", ("semantic", "depth"))
    for step, weights_T in enumerate(weights, start=1):
        weights_T = np.asarray(weights_T, dtype=float)
        log.add(step, 1, range(2), np.ones(2), weights_T, None, {"saturated": saturated})
    log.flush()


def test_shares_of_the_last_fifth(tmp_path):
    path = write_run(tmp_path, "taskforce", 0, steps=10)
    early, late = [[9.0, 1.0]] * 8, [[0.5, 0.5], [1.0, -3.0]]
    write_weights(path, early + late, 0.25)
    ((name, semantic, depth, moves, negative, effective, bounds),) = rows_of(
        render_runs("weights", find_records(tmp_path), form="markdown", width=100)
    )
    assert name == "taskforce seed 0"
    assert [semantic, depth, moves, negative] == ["37.5", "62.5", "12.5", "25 %"]
    assert float(effective) == pytest.approx(1 / (0.375**2 + 0.625**2), abs=0.05)
    assert bounds == "25 %"


def test_equal_weights_count_all_tasks_and_records_without_any_are_named(tmp_path):
    write_run(tmp_path, "ls", 0)
    shutil.rmtree(write_run(tmp_path, "ls", 1) / "steps")
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=100)
    assert rows_of(text) == [["ls seed 0", "50.0", "50.0", "0.0", "0 %", "2.0", "–"]]
    assert "No weights in the record of ls seed 1." in text


def write_epoch_weights(path, weights):
    """Write metrics.jsonl with each epoch's mean weights, and no step log."""
    shutil.rmtree(path / "steps")
    lines = [{"epoch": n, "weights": own} for n, own in enumerate(weights, start=1)]
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    finish(path)


def test_without_a_step_log_the_epochs_tell_the_shares(tmp_path):
    path = write_run(tmp_path, "taskforce", 1)
    early, late = {"semantic": 9.0, "depth": 1.0}, {"semantic": 1.0, "depth": -3.0}
    write_epoch_weights(path, [early] * 8 + [late] * 2)
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=100)
    assert rows_of(text) == [["taskforce seed 1", "25.0", "75.0", "–", "–", "1.6", "–"]]


def test_without_step_logs_the_epochs_tell_each_components_shares(tmp_path):
    path = write_run(tmp_path, "mgda", 0)
    own = {"critic/semantic": 1.0, "critic/depth": 3.0, "actor/semantic": 1.0, "actor/depth": 1.0}
    write_epoch_weights(path, [own])
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=100)
    assert [row[:3] for row in rows_of(text)] == [
        ["mgda actor seed 0", "50.0", "50.0"],
        ["mgda critic seed 0", "25.0", "75.0"],
    ]


def test_damaged_epochs_are_told_where_there_is_no_step_log(tmp_path):
    write_run(tmp_path, "ls", 0)
    path = write_run(tmp_path, "ls", 1)
    write_epoch_weights(path, [{"semantic": 1.0, "depth": 1.0}])
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "wei\n')
    finish(path)
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=1000)
    assert [row[0] for row in rows_of(text)] == ["ls seed 0"]
    assert f"- ls seed 1: {path / 'metrics.jsonl'} line 2 can't be read" in text


def test_some_methods_rows_alone(tmp_path, capsys):
    for label in ("ls", "taskforce", "taskforce-de"):
        write_run(tmp_path, label, 0)
    words = ["tables", f"paths.results={tmp_path}"]
    assert main([*words, "weights", "method=taskforce-de,ls"]) == 0
    assert [row[0] for row in rows_of(capsys.readouterr().out)] == [
        "ls seed 0",
        "taskforce-de seed 0",
    ]
    assert main([*words, "weights", "method=uw"]) == 2
    assert "no run record has method=uw; there are ls, taskforce" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tables", "costs", "against_ls", "table6"])
def test_tables_that_compare_rows_take_no_method(tmp_path, capsys, name):
    write_run(tmp_path, "ls", 0)
    words = ["tables", *[name] * (name != "tables"), f"paths.results={tmp_path}", "method=ls"]
    assert main(words) == 2
    assert f"{name} takes no method=ls: leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "told"), [(0, "lacks updates 1 to 12"), (1, "lacks updates 13 to 24")]
)
def test_a_missing_part_is_told_and_its_run_has_no_row(tmp_path, part, told):
    """A share over the last fifth of what is left would be of other updates than the others'."""
    write_run(tmp_path, "ls", 0)
    path = write_run(tmp_path, "ls", 1)
    sorted((path / "steps").iterdir())[part].unlink()
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=1000)
    assert [row[0] for row in rows_of(text)] == ["ls seed 0"]
    assert f"- ls seed 1: {path / 'steps'} {told}.\n" in text


def test_where_every_log_is_damaged_each_is_named(tmp_path):
    path = write_run(tmp_path, "ls", 0)
    sorted((path / "steps").iterdir())[0].write_bytes(b"no parquet")
    text = render_runs("weights", find_records(tmp_path), form="markdown", width=1000)
    assert rows_of(text) == []
    assert f"- ls seed 0: {path / 'steps' / 'part-000000001.parquet'} can't be read" in text


def test_without_any_log_it_says_so(tmp_path, capsys):
    shutil.rmtree(write_run(tmp_path, "ls", 1) / "steps")
    assert main(["tables", "weights", f"paths.results={tmp_path}"]) == 0
    assert capsys.readouterr().out.startswith("No record here has the weights of its updates.")
