from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl_bench.cli import main
from mtl_bench.errors import ConfigError
from mtl_bench.records.reader import find_records, is_locked
from mtl_bench.records.writer import RunRecord, record_path
from tests.records.synthetic import finish, qm9_tasks, scaled, unseal, write_record

HOMO = {"values": scaled(2.0, "homo"), "tasks": qm9_tasks("homo")}


def test_a_finished_record_is_read_from_its_summary(tmp_path: Path) -> None:
    path = write_record(tmp_path, "taskforce-alt", 3, **HOMO)
    (record,) = find_records(tmp_path)
    assert (record.path, record.profile, record.dataset) == (path, "mini", "qm9")
    assert (record.method, record.variant, record.label) == ("taskforce", "alt", "taskforce-alt")
    assert (record.seed, record.hash, record.state) == (3, "0003abcd", "finished")
    assert (record.epochs_done, record.epochs_total, record.error) == (30, 30, None)
    assert record.summary is not None
    assert record.summary["metrics"]["best_val"]["homo"]["mae"] == pytest.approx(121.152)


def test_records_are_ordered_and_filtered(tmp_path: Path) -> None:
    for label, seed in [("mgda", 1), ("taskforce-alt", 0), ("mgda", 0), ("taskforce", 0)]:
        write_record(tmp_path, label, seed, **HOMO)
    write_record(tmp_path, "mgda", 0, profile="smoke", **HOMO)
    write_record(tmp_path, "mgda", 0, dataset="nyuv2", **HOMO)
    assert [(r.profile, r.dataset, r.label, r.seed) for r in find_records(tmp_path)] == [
        ("mini", "nyuv2", "mgda", 0),
        ("mini", "qm9", "mgda", 0),
        ("mini", "qm9", "mgda", 1),
        ("mini", "qm9", "taskforce", 0),
        ("mini", "qm9", "taskforce-alt", 0),
        ("smoke", "qm9", "mgda", 0),
    ]
    assert [r.profile for r in find_records(tmp_path, profile="smoke")] == ["smoke"]
    assert [r.dataset for r in find_records(tmp_path, dataset="nyuv2")] == ["nyuv2"]
    variants = find_records(tmp_path, method="taskforce")
    assert [r.label for r in variants] == ["taskforce", "taskforce-alt"]
    assert [r.label for r in find_records(tmp_path, method="taskforce-alt")] == ["taskforce-alt"]


def test_a_file_in_place_of_the_results_is_told(tmp_path: Path) -> None:
    file = tmp_path / "results"
    assert find_records(file) == []
    file.touch()
    with pytest.raises(ConfigError, match="must be a folder of run records, not a file"):
        find_records(file)


def test_other_folders_are_no_records(tmp_path: Path) -> None:
    assert find_records(tmp_path / "nowhere") == []
    (tmp_path / "published").mkdir()
    for name in ("seed0", "seedx-0123abcd", "seed0-0123abcd.old", "seed0-0123ABCD"):
        (tmp_path / "mini" / "qm9" / "ls" / name).mkdir(parents=True)
    (tmp_path / "mini" / "qm9" / "ls" / "seed0-0123abcd").write_text("a file")
    assert find_records(tmp_path) == []


def test_a_folder_that_can_not_be_read_is_told_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("ls", "mgda"):
        write_record(tmp_path, method, 0)
    iterdir = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:  # the superuser's tests may read everything
        if folder.name == "mgda":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert [record.label for record in find_records(tmp_path)] == ["ls"]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'mini' / 'qm9' / 'mgda'} can't be read" in line
    assert "its runs are missing here: Permission denied" in line


def test_nothing_is_written_over_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = write_record(tmp_path, "ls", 0)
    before = {path.name: path.read_bytes() for path in record.iterdir() if path.is_file()}
    words = ["report", "profile=mini", f"paths.results={tmp_path}"]
    for output in (record / "DONE", record / "new.html"):
        assert main([*words, f"output={output}"]) == 2
        assert f"output={output}: {record} is the record of a run" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in record.iterdir() if p.is_file()} == before


def test_interrupted_record_tells_how_far_it_got(tmp_path: Path) -> None:
    path = write_record(tmp_path, "ls", 0, done=False, epochs_done=7)
    with (path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 8, "train_l')
    (path / ".lock").write_text("{}")
    (record,) = find_records(tmp_path)
    assert (record.state, record.epochs_done, record.epochs_total) == ("interrupted", 7, 30)
    assert record.summary is None
    assert record.error is None


def test_a_folder_that_has_just_been_made_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "mini" / "qm9" / "ls" / "seed0-0123abcd").mkdir(parents=True)
    (record,) = find_records(tmp_path)
    assert (record.state, record.epochs_done, record.epochs_total) == ("interrupted", 0, None)


def test_failed_record_carries_its_error_on_one_line(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, done=False, epochs_done=2, error="loss of homo\n  is nan")
    (record,) = find_records(tmp_path)
    assert (record.state, record.error, record.epochs_done) == ("failed", "loss of homo is nan", 2)


HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
    "print('held', flush=True); sys.stdin.read()"
)


def test_a_held_lock_means_running_and_is_left_alone(tmp_path: Path) -> None:
    path = write_record(tmp_path, "ls", 0, done=False, epochs_done=4, error="an earlier try")
    command = [sys.executable, "-c", HOLD, str(path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        before = sorted(path.iterdir())
        (record,) = find_records(tmp_path)
        assert (record.state, record.epochs_done, record.error) == ("running", 4, None)
        assert is_locked(path / ".lock")
        assert sorted(path.iterdir()) == before
        process.communicate(b"")
    (record,) = find_records(tmp_path)
    assert (record.state, record.error) == ("failed", "an earlier try")


def test_looking_at_a_lock_neither_makes_nor_keeps_it(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert not is_locked(lock)
    assert not lock.exists()
    lock.touch()
    assert not is_locked(lock)
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_two_readers_do_not_take_each_other_for_a_training(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    lock.touch()
    descriptor = os.open(lock, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert not is_locked(lock)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("summary.json", None, "summary.json is missing"),
        ("summary.json", '{"format": 1, "epo', "summary.json can't be read as JSON"),
        ("summary.json", "\udcff", "summary.json can't be read as JSON"),
        ("summary.json", "[]", "summary.json isn't of format 1"),
        ("summary.json", '{"format": 1}', "summary.json has no usable dataset"),
    ],
)
def test_damaged_summary_is_listed_as_failed(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = write_record(tmp_path, "ls", 0, **HOMO)
    write_record(tmp_path, "ls", 1, **HOMO)
    if text is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(text.encode(errors="surrogateescape"))
    finish(path)
    damaged, sound = find_records(tmp_path)
    assert damaged.state == "failed"
    assert damaged.error is not None
    assert message in damaged.error
    assert "\n" not in damaged.error
    assert sound.state == "finished"


def against(reference: object) -> dict[str, Any]:
    """Return the description of a task with this published value."""
    tasks = qm9_tasks("homo")
    tasks["homo"]["metrics"]["mae"]["reference"] = reference
    return tasks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed 4, the folder's name says 0"),
        ({"profile": "paper"}, "profile paper"),
        ({"epochs": "30"}, "no usable epochs"),
        ({"selection": "last"}, "no metrics for its selection last"),
        ({"metrics": {"best_val": {"homo": {"mae": "x"}}}}, "best_val that aren't finite"),
        ({"metrics": {"best_val": {"homo": {"mae": float("nan")}}}}, "best_val that aren't"),
        ({"metrics": {"best_val": [1.0]}}, "best_val that aren't finite numbers"),
        ({"tasks": {"homo": {"label": "h", "metrics": {}}}}, "metrics of task homo"),
        ({"tasks": {"homo": {"label": "h", "metrics": {"mae": {"unit": ""}}}}}, "task homo"),
        ({"tasks": {"homo": None}}, "metrics of task homo"),
        ({"tasks": against("x")}, "metrics of task homo"),
        ({"tasks": against(float("inf"))}, "metrics of task homo"),
        ({"untrained": "homo"}, "untrained tasks that it does not describe"),
        ({"untrained": ["mu"]}, "untrained tasks that it does not describe"),
        ({"untrained": [["homo"]]}, "untrained tasks that it does not describe"),
    ],
)
def test_a_summary_of_the_wrong_shape_never_reaches_the_tables(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = write_record(tmp_path, "ls", 0, **HOMO)
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps(summary | change))
    finish(path)
    (record,) = find_records(tmp_path)
    assert record.state == "failed"
    assert record.summary is None
    assert record.error is not None
    assert message in record.error


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("mini/qm9/mgda-alt/seed0-0000abcd", "method taskforce, the folder's name says mgda"),
        ("mini/qm9/taskforce/seed0-0000abcd", "variant alt, the folder's name says None"),
        ("mini/qm9/taskforce-de/seed0-0000abcd", "variant alt, the folder's name says de"),
        ("mini/nyuv2/taskforce-alt/seed0-0000abcd", "dataset qm9, the folder's name says nyuv2"),
        ("paper/qm9/taskforce-alt/seed0-0000abcd", "profile mini, the folder's name says paper"),
        ("mini/qm9/taskforce-alt/seed7-0000abcd", "seed 0, the folder's name says 7"),
        ("mini/qm9/taskforce-alt/seed0-0007abcd", "hash 0000abcd, the folder's name says 0007"),
    ],
)
def test_a_copy_under_the_name_of_another_run_is_refused(
    tmp_path: Path, folder: str, message: str, done: bool
) -> None:
    path = write_record(tmp_path / "first", "taskforce-alt", 0, done=done, **HOMO)
    copy = shutil.copytree(path, tmp_path / "second" / folder)
    (record,) = find_records(tmp_path / "second")
    if "hash" in message and not done:  # which an unfinished run's files don't tell
        assert record.state == "interrupted"
        return
    assert (record.path, record.state, record.summary) == (copy, "failed", None)
    assert record.error is not None
    assert record.error.startswith("summary.json" if done else "config.yaml")
    assert message in record.error


@pytest.mark.parametrize(("variant", "label"), [(0.5, "ls-0.5"), ("", "ls"), (0, "ls")])
def test_a_variant_that_is_no_text_is_the_folders(
    tmp_path: Path, variant: object, label: str
) -> None:
    write_record(tmp_path, label, 0, **HOMO | {"variant": variant})
    assert [record.state for record in find_records(tmp_path)] == ["finished"]


def test_a_record_without_hashes_is_read_and_told(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, **HOMO)
    unseal(write_record(tmp_path, "ls", 1, **HOMO))
    records = find_records(tmp_path)
    assert [(record.state, record.sealed) for record in records] == [
        ("finished", True),
        ("finished", False),
    ]


def test_every_committed_record_is_whole_and_sealed() -> None:
    results = Path(__file__).parents[2] / "results"
    records = [
        r for folder in ("", "patience", "precision") for r in find_records(results / folder)
    ]
    assert len(records) > 100
    whole = [r for r in records if r.state == "exploded" or (r.state == "finished" and r.sealed)]
    assert [r.path for r in records if r not in whole] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.jsonl", "{bad\n"),
        ("metrics.jsonl", '{"train_loss": {}}\n'),
        ("metrics.jsonl", "3\n"),
        ("config.yaml", "trainer: {epochs: [\n"),
        ("config.yaml", "trainer: 3\n"),
        ("config.yaml", "\x00"),
        ("FAILED.json", "{"),
    ],
)
def test_damaged_unfinished_record_names_the_file(tmp_path: Path, name: str, text: str) -> None:
    path = write_record(tmp_path, "ls", 0, done=False, error="earlier")
    (path / name).write_text(text)
    (record,) = find_records(tmp_path)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error.startswith(name)


def test_a_missing_value_is_no_damage(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, values={"homo": {"mae": None}}, tasks=qm9_tasks("homo"))
    assert find_records(tmp_path)[0].state == "finished"


def test_what_the_writer_leaves_is_what_the_reader_sees(tmp_path: Path) -> None:
    config = {
        "seed": 1,
        "variant": "alt",
        "profile": {"name": "mini"},
        "dataset": {"name": "qm9"},
        "method": {"name": "taskforce"},
        "trainer": {"epochs": 3},
        "paths": {"results": str(tmp_path)},
    }
    summary = json.loads(
        (
            write_record(tmp_path / "other", "taskforce-alt", 1, hash8="0123abcd", **HOMO)
            / "summary.json"
        ).read_text()
    )

    def seen() -> tuple[str, int, int | None]:
        (record,) = find_records(tmp_path, profile="mini")
        assert record.path == record_path(config, "0123abcd")
        assert (record.label, record.seed) == ("taskforce-alt", 1)
        return record.state, record.epochs_done, record.epochs_total

    with RunRecord(record_path(config, "0123abcd")) as run:
        run.begin(config, {})
        run.append_epoch({"epoch": 1})
        assert seen() == ("running", 1, 3)
    assert seen() == ("interrupted", 1, 3)
    run.fail("loss of homo is nan", {})
    assert seen() == ("failed", 1, 3)
    run.finish(summary | {"epochs": 3})
    assert seen() == ("finished", 3, 3)


def test_reading_and_showing_need_neither_torch_nor_hydra() -> None:
    code = (
        "import sys, mtl_bench.records.reader, mtl_bench.reporting.status\n"
        "assert 'numpy' not in sys.modules\n"
        "import mtl_bench.reporting.tables\n"
        "heavy = {'torch', 'pandas', 'hydra', 'omegaconf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "trainer: {epochs: !!python/object/apply:os.mkdir [ran]}"),
        ("config.yaml", "trainer: {epochs: .inf}"),
        ("metrics.jsonl", '{"epoch": Infinity}\n'),
    ],
)
def test_a_crafted_unfinished_record_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_record(tmp_path / "results", "ls", 0, done=False, error="earlier")
    (path / name).write_text(text)
    (record,) = find_records(tmp_path / "results")
    assert record.error is not None
    assert record.error.startswith(name)
    assert not (tmp_path / "ran").exists()


VALUES = [None, "x", -1, 1e308, 10**400, [], {}, {"a": {}}, True, "[/red]\x1b[31m<script>"]


def test_whatever_a_summary_says_the_commands_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value in turn is replaced by another or left out."""
    path = write_record(tmp_path, "ls", 0, **HOMO) / "summary.json"
    write_record(tmp_path, "stl", 0, **HOMO)
    good = path.read_text()
    for place in list(_places(json.loads(good))):
        for value in [..., *VALUES]:
            summary = json.loads(good)
            *parents, key = place
            node = summary
            for parent in parents:
                node = node[parent]
            del node[key]
            if value is not ...:
                node[key] = value
            path.write_text(json.dumps(summary))
            finish(path.parent)
            for command in ("status", "tables"):
                assert main([command, f"paths.results={tmp_path}"]) == 0, (place, value)
        capsys.readouterr()


def _places(node: object, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield (*above, key)
        yield from _places(value, (*above, key))
