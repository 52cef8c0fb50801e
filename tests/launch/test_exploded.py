"""A run whose loss goes above the bound: a result that is kept, counted and never tried again."""

from pathlib import Path

import pytest

from mtl_bench.cli import main
from mtl_bench.launch.sweep import sweep
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.status import render_status

SMALL = (
    *("dataset=pendulum6", "dataset.tasks=[standard,heavy]", "dataset.horizon=10", "method=ls"),
    *("profile=smoke", "trainer.device=cpu", "logger.progress=off"),
)
BOUND = "algorithm.largest_loss=1e-9"


@pytest.fixture(autouse=True)
def _desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def times():
    return {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")}


def test_the_same_command_does_not_train_it_again(capsys):
    assert main(["train", *SMALL, BOUND]) == 1
    assert "exploded: the mean critic loss is" in capsys.readouterr().err
    before = times()
    assert main(["train", *SMALL, BOUND]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    (record,) = find_records(Path("results"))
    assert "already exploded: the mean critic loss is" in line
    assert f"move {record.path} away" in line.replace(str(Path.cwd()) + "/", "")
    assert times() == before
    assert main(["train", "--dry-run", *SMALL, BOUND]) == 0


def test_a_sweep_counts_it_and_goes_on(capsys):
    words = [*SMALL, "algorithm.largest_loss=1e-9,1e9"]
    assert [cell.state for cell in sweep(words)] == ["exploded", "finished"]
    before = times()
    assert main(["train", "-m", *words]) == 0
    told = capsys.readouterr().out
    assert "1 of 2 runs are finished" in told
    assert "exploded: the mean critic loss" in told
    assert times() == before
    exploded = next(r for r in find_records(Path("results")) if r.state != "finished")
    assert (exploded.state, exploded.summary) == ("exploded", None)
    assert exploded.error.startswith("exploded: the mean critic loss is")
    grid = render_status(find_records(Path("results"))).plain
    assert "exploded 0/2" in grid
    assert "1 finished, 1 exploded" in grid
    assert "retries what failed" not in grid
