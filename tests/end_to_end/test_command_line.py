"""What a person types, from the first run to the table."""

import csv
import json
import re
import shutil
import signal

import pytest
import yaml

from tests.end_to_end.processes import (
    call,
    call_without,
    end_of,
    make_desk,
    metrics_of,
    results_of,
    start,
    wait_for_epochs,
)
from tests.nightly import gate

SMOKE = ("train", "dataset=qm9", "profile=smoke")
EPOCHS = 10
TINY = (
    "train",
    "dataset=qm9",
    "profile=smoke",
    "dataset.train_size=40",
    "dataset.val_size=20",
    "dataset.test_size=20",
    "dataset.batch_size=20",
    "method=ls",
)
LONG = "trainer.epochs=3000"


@pytest.fixture(scope="module")
def desk(qm9_data, tmp_path_factory):
    """A folder to type commands in, with the real data set."""
    return make_desk(tmp_path_factory, qm9_data.resolve())


@pytest.fixture(scope="module")
def finished(desk):
    """Records of uninterrupted smoke runs, made once."""
    records = {}

    def get(method):
        if method not in records:
            done = call(*SMOKE, f"method={method}", cwd=desk)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            (records[method],) = (desk / "results" / "smoke" / "qm9" / method).glob("seed0-*")
            assert str(records[method].relative_to(desk)) in done.stdout
        return records[method]

    return get


@pytest.fixture
def tiny_desk(tiny_data, tmp_path):
    """A folder to type commands in, with synthetic data."""
    (tmp_path / "data").symlink_to(tiny_data)
    return tmp_path


def only_line(text):
    (line,) = text.splitlines()
    assert line.startswith("mtl-bench: ")
    return line


def temporary_files(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.data
@pytest.mark.parametrize("method", gate(1, ["taskforce", "ls"]))
def test_a_run_leaves_a_whole_record(method, finished):
    record = finished(method)
    assert {path.name for path in record.iterdir() if path.name != ".lock"} == {
        *("DONE", "config.yaml", "environment.json", "metrics.jsonl", "summary.json"),
        *("steps", "checkpoint"),
    }
    config = yaml.safe_load((record / "config.yaml").read_text())
    assert (config["method"]["name"], config["seed"]) == (method, 0)
    assert "${" not in (record / "config.yaml").read_text()
    environment = json.loads((record / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["workers"] in range(9)
    assert environment["tf32"] == {"convolutions": True, "products": False}
    assert re.fullmatch("[0-9a-f]{64}", environment["initial_parameters"])
    assert re.fullmatch("[0-9a-f]{64}", environment["data"]["manifest"])
    summary, metrics, steps = results_of(record)
    assert summary["status"] == "finished"
    assert [line["epoch"] for line in metrics] == list(range(1, EPOCHS + 1))
    assert steps["step"] == list(range(1, 8 * EPOCHS + 1))
    weights = [steps[f"weight/{task}"] for task in summary["tasks"]]
    total = 1 if method == "taskforce" else 11
    assert [sum(step) for step in zip(*weights, strict=True)] == pytest.approx([total] * 80)
    assert ("cosine/mu/alpha" in steps) == (method == "taskforce")
    assert len({tuple(step) for step in zip(*weights, strict=True)}) > 1 or method == "ls"


@pytest.mark.data
def test_training_lowers_the_losses(finished):
    losses = [sum(line["train_loss"].values()) for line in metrics_of(finished("ls"))]
    assert losses[-1] < losses[0]


@pytest.mark.data
def test_typed_again_it_says_so_at_once(finished, desk):
    record = finished("ls")
    before = {path: path.stat().st_mtime_ns for path in record.rglob("*")}
    done = call(*SMOKE, "method=ls", cwd=desk)
    assert done.stdout.splitlines() == [f"already finished: {record.relative_to(desk)}"]
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in record.rglob("*")} == before


@pytest.mark.data
@pytest.mark.parametrize("method", [pytest.param("ls", marks=pytest.mark.nightly), "taskforce"])
def test_killed_half_way_the_same_command_ends_with_the_same_bits(method, finished, desk):
    words = (*SMOKE, f"method={method}", f"paths.results=killed_{method}")
    process = start(*words, cwd=desk)
    record = wait_for_epochs(process, desk / f"killed_{method}", 4)
    end_of(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (record / "DONE").exists()
    done = call(*words, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert results_of(record) == results_of(finished(method))
    assert (
        json.loads((record / "environment.json").read_text())["initial_parameters"]
        == (json.loads((finished(method) / "environment.json").read_text())["initial_parameters"])
    )


@pytest.mark.data
def test_sigterm_then_a_full_disk_then_the_end(finished, desk):
    """75 with one line; on a full disk 1 with one line; then the bits of the uninterrupted run."""
    words = (*SMOKE, "method=ls", "paths.results=stopped")
    process = start(*words, cwd=desk)
    record = wait_for_epochs(process, desk / "stopped", 2)
    errors = end_of(process, signal.SIGTERM)
    assert process.returncode == 75
    assert "SIGTERM: stopped in epoch" in only_line(errors)
    assert "the same command continues" in errors
    assert not (record / "FAILED.json").exists()
    checkpoint = (record / "checkpoint" / "last.pt").read_bytes()

    full = call(*words, cwd=desk, file_size_kib=len(checkpoint) // 2048)
    assert full.returncode == 1
    assert "disk full while writing" in only_line(full.stderr)
    assert "last.pt" in full.stderr
    assert temporary_files(record) == []
    assert (record / "checkpoint" / "last.pt").read_bytes() == checkpoint
    assert "disk full" in json.loads((record / "FAILED.json").read_text())["error"]

    assert call(*words, cwd=desk).returncode == 0
    assert results_of(record) == results_of(finished("ls"))
    assert not (record / "FAILED.json").exists()


@pytest.mark.data
def test_status_and_tables_show_what_was_made(finished, desk):
    for method in ("ls", "taskforce"):
        finished(method)
    status = call("status", "profile=smoke", cwd=desk)
    assert status.returncode == 0
    assert status.stdout.count("done") >= 2
    tables = call("tables", "profile=smoke", cwd=desk)
    assert tables.returncode == 0
    for word in ("ls", "taskforce", "smoke", "ε_HOMO", "meV"):
        assert re.search(word, tables.stdout, re.IGNORECASE)
    summary = json.loads((finished("ls") / "summary.json").read_text())
    assert f"{summary['metrics']['best_val']['mu']['mae']:.3f}" in tables.stdout


@pytest.mark.parametrize("several", [(), ("-m",)], ids=["one run", "a sweep"])
def test_a_reader_that_leaves_does_not_end_the_training(several, tiny_desk):
    """As in `mtl-bench train ... | head -1`."""
    words = ("dataset=qm9", "method=ls", "profile=smoke", "trainer.epochs=3", "seed=0")
    sizes = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")
    training = start("train", *several, *words, *sizes, cwd=tiny_desk)
    while "3 epochs of" not in training.stdout.readline():
        assert training.poll() is None, training.communicate()
    training.stdout.close()
    assert training.wait(timeout=120) == 0, training.stderr.read()
    training.stderr.close()
    (record,) = tiny_desk.glob("results/smoke/qm9/ls/seed0-*")
    assert (record / "DONE").exists()
    assert not (record / "FAILED.json").exists()
    assert len(metrics_of(record)) == 3


def test_a_second_process_says_who_holds_the_record(tiny_desk):
    first = start(*TINY, LONG, cwd=tiny_desk)
    try:
        wait_for_epochs(first, tiny_desk, 1)
        second = call(*TINY, LONG, cwd=tiny_desk)
        assert second.returncode == 2
        line = only_line(second.stderr)
        assert "is being written by another process" in line
        assert f'"pid": {first.pid}' in line
        status = call("status", cwd=tiny_desk)
        assert "running" in status.stdout
    finally:
        end_of(first, signal.SIGINT)
    assert first.returncode == 75


def test_a_sweep_goes_on_after_a_failure_and_names_it(tiny_desk):
    words = (*TINY, "-m", "trainer.epochs=2", "optimizer.lr=1e-3,1e30,1e-4")
    first = call(*words, cwd=tiny_desk)
    assert first.returncode == 1
    assert "2 of 3 runs are finished" in first.stdout
    failed, hint = first.stderr.splitlines()
    assert re.search(r"failed: .*optimizer\.lr=1e\+?30.* at epoch 1, step", failed)
    assert "the same command" in hint
    records = {path.parent for path in tiny_desk.rglob("config.yaml")}
    assert len(records) == 3
    (bad,) = (path.parent for path in tiny_desk.rglob("FAILED.json"))
    done = {path: path.stat().st_mtime_ns for path in tiny_desk.rglob("DONE")}
    assert {path.parent for path in done} == records - {bad}

    second = call(*words, cwd=tiny_desk)
    assert second.returncode == 1
    assert second.stdout.count("epochs of") == 1
    assert {path: path.stat().st_mtime_ns for path in tiny_desk.rglob("DONE")} == done

    shutil.rmtree(next(iter(done)).parent)
    (tiny_desk / "data").unlink()
    dry = call(*words, "--dry-run", cwd=tiny_desk)
    told = dry.stdout.splitlines()
    assert sum(line.startswith("missing: ") for line in told) == 1
    (failed,) = (line for line in told if line.startswith("failed: "))
    assert re.search(r"optimizer\.lr=1e\+?30 .*\(.*at epoch 1, step", failed)
    assert sorted(told[-1].split(", ")) == ["1 failed", "1 finished", "1 missing"]
    assert dry.returncode == 1
    assert len(list(tiny_desk.rglob("config.yaml"))) == 2


def test_the_ablation_from_the_sweep_to_the_table(tiny_desk):
    sizes = [word for word in TINY if word != "method=ls"]
    words = ("-m", "experiment=table3", "seed=0", "trainer.epochs=1", *sizes[1:])
    done = call("train", *words, cwd=tiny_desk)
    assert done.returncode == 0, done.stderr
    assert "7 of 7 runs are finished" in done.stdout
    words = ("tables", "table3", "profile=smoke", "format=csv")
    shown = call_without(["torch", "hydra"], *words, cwd=tiny_desk)
    *lines, status = shown.stdout.splitlines()
    assert status == "[] 0"
    rows = list(csv.DictReader(lines))
    assert [row["row"] for row in rows] == [
        *("STL", "equal", "raw gradients", "gram, one agent", "+ MA", "+ CT", "+ DE", "+ r_G")
    ]
    assert [row["n"] for row in rows] == ["1", "1", "", *["1"] * 5]
    assert "missing" not in shown.stdout
    changed = "dataset.batch_size=20, dataset.test_size=20, dataset.train_size=40"
    changed = f"smoke with {changed}, dataset.val_size=20, trainer.epochs=1, real data"
    assert f"Profile {changed}" in rows[0]["conditions"]
    refused = call("train", "ablation=raw", *sizes[1:], cwd=tiny_desk)
    assert refused.returncode == 2
    assert "method.observation=raw is computed, not run" in only_line(refused.stderr)


def test_an_unknown_table_is_named_with_what_there_is(tmp_path):
    done = call("tables", "table0", "profile=smoke", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown table table0; allowed: " in only_line(done.stderr)


@pytest.mark.parametrize(("launcher", "jobs"), gate(1, [("basic", 1), ("processes", 2)]))
def test_a_stopped_sweep_saves_what_runs_and_begins_no_other_run(launcher, jobs, tiny_desk):
    words = (*TINY, "-m", LONG, "seed=0,1,2", f"hydra/launcher={launcher}")
    process = start(*words, cwd=tiny_desk)
    for seed in range(jobs):
        wait_for_epochs(process, tiny_desk, 1, f"seed{seed}-*/metrics.jsonl")
    errors = end_of(process, signal.SIGTERM)
    assert process.returncode == 75
    line = only_line(errors)
    assert "SIGTERM: stopped in epoch" in line
    assert "and in 2 other runs" in line
    records = {path.parent for path in tiny_desk.rglob("config.yaml")}
    assert {path.name[:5] for path in records} == {f"seed{seed}" for seed in range(jobs)}
    assert all((path / "checkpoint" / "last.pt").exists() for path in records)
    assert not list(tiny_desk.rglob("FAILED.json"))
    for path in records:
        environment = json.loads((path / "environment.json").read_text())
        assert environment["command"] == ["mtl-bench", *words]


def test_mistakes_in_a_sweep_are_one_line(tiny_desk):
    for word, needle in (("method=ls,nosuch", "method=nosuch"), ("trainer.epoch=1,2", "epoch")):
        done = call(*TINY, "-m", word, cwd=tiny_desk)
        assert done.returncode == 2
        assert needle in only_line(done.stderr)


def test_results_go_where_they_are_told(tiny_desk):
    done = call(*TINY, "trainer.epochs=1", "paths.results=else where", cwd=tiny_desk)
    assert done.returncode == 0, done.stderr
    assert len(list((tiny_desk / "else where" / "smoke" / "qm9" / "ls").glob("*/DONE"))) == 1
    assert not (tiny_desk / "results").exists()
    shown = call("status", "paths.results=else where", cwd=tiny_desk)
    assert "done" in shown.stdout


def test_unprepared_data_names_the_command_and_leaves_no_record(tmp_path):
    done = call(*SMOKE, "method=ls", cwd=tmp_path)
    assert done.returncode == 2
    assert "mtl-bench data prepare qm9" in only_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cache_is_named_and_leaves_no_record(tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    path = tmp_path / "data" / "qm9" / "positions.npy"
    path.write_bytes(path.read_bytes()[:-1])
    done = call(*TINY, cwd=tmp_path)
    assert done.returncode == 2
    line = only_line(done.stderr)
    assert "positions.npy is damaged" in line
    assert "mtl-bench data prepare qm9" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((*SMOKE, "method=ls", "trainer.epoch=1"), 2),
        (("train", "dataset=qm9"), 2),
        (("train", "-m", *SMOKE[1:], "method=ls,stl", "seed=-1,-2"), 1),
        (("train", *SMOKE[1:], "method=ls", "method.rate=1"), 2),
        (("train", *SMOKE[1:], "method=ls", "optimizer.lr=nan"), 2),
    ],
)
def test_what_a_class_need_not_be_asked_costs_no_import_of_torch(words, status, tmp_path):
    done = call_without(["torch"], *words, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"[] {status}"


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (("--help",), ["numpy"]),
        (("train", "--help"), ["numpy"]),
        (("--version",), ["numpy"]),
        (("list", "methods"), ["numpy"]),
        (("status",), ["numpy"]),
        (("tables",), []),
    ],
)
def test_light_commands_import_neither_torch_nor_hydra(words, heavy, tmp_path):
    done = call_without(["torch", "hydra", "pandas", *heavy], *words, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[] 0", done
    assert done.stderr == ""


def test_debug_shows_where_an_error_comes_from(tmp_path):
    done = call(*SMOKE, "method=ls", "debug=true", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
