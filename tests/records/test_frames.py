"""All records as one data frame."""

import json
import subprocess
import sys

import pytest

import mtl_bench
from mtl_bench.records.epochs import complete_lines, parse_epoch, read_epochs
from mtl_bench.records.frames import COLUMNS
from tests.conftest import ROOT
from tests.end_to_end.processes import ENVIRONMENT
from tests.records.synthetic import QM9, qm9_tasks, scaled, write_record

NAMES = ("mu", "cv")


def test_a_row_for_each_run_rule_task_and_metric(tmp_path):
    for seed, factor in enumerate((0.5, 2.0)):
        values = {"best_val": scaled(factor, *NAMES), "last": scaled(3.0, *NAMES)}
        write_record(
            *(tmp_path, "taskforce-slow", seed),
            tasks=qm9_tasks(*NAMES),
            metrics=values,
            seconds={"forward": 60.0, "test": 40.0, "train_epoch": 3.0},
            untrained=["cv"],
            steps=900,
        )
    frame = mtl_bench.load_results(tmp_path)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 2 * 2 * 2
    assert (frame["seconds"] == 100.0).all()
    selected = frame[frame["selected"]].set_index(["seed", "task"])
    assert set(selected["rule"]) == {"best_val"}
    value, reference = selected.loc[(1, "cv"), ["value", "reference"]]
    assert value == pytest.approx(2 * reference)
    row = selected.loc[(0, "mu")]
    assert (row["method"], row["variant"], row["label"]) == ("taskforce", "slow", "taskforce-slow")
    assert (row["unit"], row["higher_is_better"], row["reference"]) == ("D", False, QM9["mu"][3])
    assert (row["status"], row["epochs"], row["steps"], row["parameters"]) == (
        *("finished", 30, 900),
        617675,
    )
    assert selected["trained"].tolist() == [True, False] * 2


def test_damaged_and_unfinished_runs_are_rows_with_a_status(tmp_path):
    common = {"tasks": qm9_tasks("mu"), "values": scaled(1.0, "mu")}
    write_record(tmp_path, "ls", 0, **common)
    broken = write_record(tmp_path, "ls", 1, **common)
    (broken / "summary.json").write_text("{")
    write_record(tmp_path, "ls", 2, done=False, epochs_done=7)
    write_record(tmp_path, "ls", 3, done=False, epochs_done=4, error="the loss of task mu is nan")
    frame = mtl_bench.load_results(tmp_path).set_index("seed")
    assert frame["status"].tolist() == ["finished", "failed", "interrupted", "failed"]
    assert frame["value"].notna().tolist() == [True, False, False, False]
    assert "summary.json" in frame.loc[1, "error"]
    assert frame.loc[3, "error"] == "the loss of task mu is nan"
    assert frame["epochs"].tolist() == [30, 0, 7, 4]


def test_the_committed_records():
    """Counted from the files, without the package's reader."""
    frame = mtl_bench.load_results(ROOT / "results", profile="mini")
    exploded = frame["status"] == "exploded"
    failed = (ROOT / "results" / "mini").glob("*/*/*/FAILED.json")
    assert set(frame["path"][exploded]) == {str(path.parent) for path in failed}
    frame = frame[~exploded]
    assert set(frame["status"]) == {"finished"}
    summaries = (ROOT / "results" / "mini").glob("*/*/*/summary.json")
    assert set(frame["path"]) == {str(path.parent) for path in summaries}
    for path, rows in frame.groupby("path"):
        summary = json.loads((ROOT / path / "summary.json").read_text())
        told = {
            (rule, task, metric): value
            for rule, tasks in summary["metrics"].items()
            for task, metrics in tasks.items()
            for metric, value in metrics.items()
        }
        found = rows.set_index(["rule", "task", "metric"])["value"].to_dict()
        assert found == told
    only = mtl_bench.load_results(ROOT / "results", profile="mini", dataset="qm9", method="ls")
    assert set(only["label"]) == {"ls"}


def test_records_are_read_without_torch(tmp_path):
    code = (
        f"import sys, mtl_bench\nmtl_bench.load_results({str(ROOT / 'results')!r})\n"
        "from mtl_bench.records import steps\nprint({'torch', 'hydra'} & sys.modules.keys())\n"
    )
    told = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT)
    assert told == b"set()\n"


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b'{"epoch": 0}', b'{"epoch": "1"}', b'{"epoch": true}', b'{"epoch": 1e400}'],
)
def test_what_is_no_epoch(line, tmp_path):
    with pytest.raises(ValueError, match=r"epoch|Expecting value"):
        parse_epoch(line)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1}\n' + line + b'\n{"epoch": 3}\n')
    with pytest.raises(mtl_bench.errors.RecordError, match="line 2 can't be read"):
        read_epochs(path)
    assert [entry["epoch"] for entry in read_epochs(path, skip_damaged=True)] == [1, 3]


def test_a_file_is_read_on_from_where_it_ended(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert complete_lines(path) == []
    path.write_bytes(b'{"epoch": 1}\n{"epo')
    assert complete_lines(path) == [b'{"epoch": 1}']
    path.write_bytes(b'{"epoch": 1}\n{"epoch": 2}\n')
    assert complete_lines(path, start=13) == [b'{"epoch": 2}']
