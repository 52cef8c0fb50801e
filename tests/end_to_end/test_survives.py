"""Bad cells, repetition, replay, damaged records, and a short campaign of faults."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from mtl_bench.datasets.procedural.streets import synth as streets
from tests.end_to_end.processes import ENVIRONMENT, call, results_of

SIZES = (2, 4, 16)
"""Frames of the cells, spread over 16; the fourth frame is in the last cell alone."""


@pytest.fixture(scope="module")
def many_streets(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    streets.synth(data / "cityscapes", 16, 1, 64, 128, jobs=1, report=lambda line: None)
    return data


def test_one_cell_of_three_with_bad_data(many_streets, tmp_path):
    (tmp_path / "data").symlink_to(many_streets)
    words = (
        *("train", "-m", "dataset=cityscapes", "method=ls", "profile=smoke", "trainer.epochs=1"),
        *(f"dataset.train_size={','.join(map(str, SIZES))}", "dataset.test_size=1"),
        *("dataset.batch_size=2", "architecture.width=0.01"),
    )
    frame = sorted((many_streets / "cityscapes" / "leftImg8bit" / "train").rglob("*.png"))[3]
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) // 2])
    first = call(*words, cwd=tmp_path)
    assert first.returncode == 1
    assert "2 of 3 runs are finished" in first.stdout
    *_, failed, hint = (line for line in first.stderr.splitlines() if "WARNING" not in line)
    assert failed.startswith("failed: ")
    assert f"dataset.train_size={SIZES[-1]}" in failed
    assert frame.name in failed
    assert "the same command tries these again" in hint
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("DONE")}
    assert len(done) == 2

    frame.write_bytes(whole)
    second = call(*words, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "3 of 3 runs are finished" in second.stdout
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("DONE")}
    (new,) = again.keys() - done.keys()
    assert {path: again[path] for path in done} == done
    assert json.loads((new.parent / "summary.json").read_text())["steps"] == SIZES[-1] // 2


def test_two_processes_with_one_seed_are_the_same_for_50_updates(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    words = (
        *("train", "dataset=qm9", "method=taskforce", "method.batch_size=8", "profile=smoke"),
        *("dataset.train_size=100", "dataset.val_size=20", "dataset.test_size=20"),
        *("dataset.batch_size=20", "trainer.determinism=strict"),
    )
    records = []
    for results in ("one", "two"):
        done = call(*words, f"paths.results={results}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        records.append(next((tmp_path / results).glob("*/*/*/seed0-*")))
    first, second = (json.loads((r / "environment.json").read_text()) for r in records)
    assert first["initial_parameters"] == second["initial_parameters"]
    assert first["determinism"] == "strict"
    losses = [
        [pq.read_table(part).to_pydict()["loss/mu"] for part in sorted((r / "steps").glob("*"))]
        for r in records
    ]
    assert sum(map(len, losses[0])) == 50
    assert losses[0] == losses[1]
    assert results_of(records[0]) == results_of(records[1])


def test_an_update_that_failed_is_replayed_from_the_command_line(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    words = ("dataset=qm9", "method=mgda", "profile=smoke", "optimizer.lr=1e20")
    words += ("dataset.batch_size=20",)
    sizes = ("dataset.train_size=100", "dataset.val_size=20", "dataset.test_size=20")
    failed = call("train", *words, *sizes, cwd=tmp_path)
    assert failed.returncode == 1
    (record,) = (path.parent.relative_to(tmp_path) for path in tmp_path.rglob("FAILED.json"))
    assert f"`mtl-bench replay {record}`" in failed.stderr
    again = call("replay", record, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "the same numbers as when the run failed, bit for bit" in again.stdout
    assert "refused: the " in again.stdout
    nothing = call("replay", "nowhere", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "nowhere holds no run" in nothing.stderr


NIGHTLY = [pytest.param(name, marks=pytest.mark.nightly) for name in ("metrics.jsonl", "DONE")]


@pytest.mark.parametrize("name", ["summary.json", *NIGHTLY])
def test_a_finished_record_that_was_damaged_is_mended(name, tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    words = ("train", "dataset=qm9", "method=ls", "profile=smoke", "trainer.epochs=1")
    sizes = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")
    assert call(*words, *sizes, cwd=tmp_path).returncode == 0
    (record,) = (path.parent for path in tmp_path.rglob("DONE"))
    before = results_of(record)
    content = (record / name).read_bytes()
    (record / name).write_bytes(content.replace(b"2", b"3").replace(b"0", b"1"))
    status = call("status", cwd=tmp_path).stdout
    assert "failed" in status
    assert name in status
    assert call(*words, *sizes, cwd=tmp_path).returncode == 0
    assert results_of(record) == before

    (record / name).write_bytes(content[:-2] + b"x")
    for checkpoint in (record / "checkpoint").iterdir():
        checkpoint.unlink()
    refused = call(*words, *sizes, cwd=tmp_path)
    assert refused.returncode == 2
    assert f"{name} changed after the run was finished" in refused.stderr
    assert "restore it from a copy, or move the folder away" in refused.stderr


@pytest.mark.nightly
def test_a_short_campaign(tiny_data, tmp_path):
    """Every kind of fault once; docs/reliability.md has more to say."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.torture", "faults=15", "each=15", "seed=3"),
            *(f"data={tiny_data}", "datasets=qm9", "methods=taskforce", "folder=campaign"),
            "output=report.json",
        ],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in (0, 1), done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faults"] == 15
    assert len(report["by_fault"]) == 15
    # an unclear end depends on the very moment of a fault, which is nobody's to repeat
    assert (report["lost"], report["different"]) == ([], []), done.stdout
    assert "15 faults in" in done.stdout
    assert (tmp_path / "campaign").exists() == bool(report["unclear"])
