"""The run record while it is written."""

import json
import multiprocessing
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtl_bench.errors import RecordError
from mtl_bench.records.seal import changed_files
from mtl_bench.records.steps import StepLog
from mtl_bench.records.writer import RunRecord, record_path

CONFIG = {
    "seed": 3,
    "variant": None,
    "method": {"name": "ls"},
    "dataset": {"name": "qm9"},
    "profile": {"name": "smoke"},
    "paths": {"results": "results"},
}


def test_the_folder_follows_from_the_configuration():
    assert str(record_path(CONFIG, "0a1b")) == "results/smoke/qm9/ls/seed3-0a1b"
    variant = CONFIG | {"variant": "wide"}
    assert str(record_path(variant, "0a1b")) == "results/smoke/qm9/ls-wide/seed3-0a1b"


def test_two_writers_exclude_each_other(tmp_path):
    with RunRecord(tmp_path), pytest.raises(RecordError) as info, RunRecord(tmp_path):
        pass
    assert f'"pid": {os.getpid()}' in str(info.value)
    with RunRecord(tmp_path):
        pass


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 3 if at is None else at] ^= 1
    path.write_bytes(data)


def _hold_and_die(path):
    RunRecord(path).__enter__()
    os._exit(9)


def test_the_lock_of_a_dead_process_is_free_and_its_leftovers_are_cleared(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    leftover = tmp_path / "checkpoint" / ".last.pt.123.tmp"
    leftover.write_bytes(b"half")
    with RunRecord(tmp_path):
        assert not leftover.exists()


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    """As a loader's worker, which outlives a training that is killed."""
    context = multiprocessing.get_context("fork")
    first, second = (context.Event() for _ in range(2))
    with RunRecord(tmp_path):
        process = context.Process(target=lambda: (first.set(), second.wait(60)))
        process.start()
        assert first.wait(20)
        with pytest.raises(RecordError), RunRecord(tmp_path):
            pass
    with RunRecord(tmp_path):
        assert process.is_alive()
    second.set()
    process.join()


def test_the_life_of_a_record(tmp_path):
    with RunRecord(tmp_path) as record:
        record.fail("it broke", {"step": 3})
        record.begin(CONFIG, {"python": "3"})
        assert not (tmp_path / "FAILED.json").exists()
        record.append_epoch({"epoch": 1})
        with (tmp_path / "metrics.jsonl").open("a") as stream:
            stream.write('{"epo')  # killed while it wrote
        record.keep_epochs([{"epoch": 1}])
        record.append_epoch({"epoch": 2})
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
        with pytest.raises(ValueError, match="JSON compliant"):
            record.append_epoch({"loss": float("nan")})
        with pytest.raises(ValueError, match="JSON compliant"):
            record.finish({"loss": float("nan")})
        assert not (tmp_path / "DONE").exists()
        assert not (tmp_path / "summary.json").exists()
        record.finish({"status": "finished"})
        assert changed_files(tmp_path) == []


def rows(folder):
    parts = [pq.read_table(path).to_pydict() for path in sorted(folder.glob("*.parquet"))]
    return [step for part in parts for step in part["step"]]


def add(log, *steps, gram=None):
    for step in steps:
        log.add(step, 1, (0, 1), np.ones(2), np.ones(2), gram, {"x": float(step)})


def test_resuming_keeps_exactly_the_parts_that_the_checkpoint_knew(tmp_path):
    log = StepLog(tmp_path, ("a", "b"))
    states = [(0, None)]
    for part in ((1, 2, 3), (4,), (5, 6)):
        add(log, *part)
        log.flush()
        states.append((part[-1], log.store.state_dict()))
    log.flush()  # nothing is collected: no part
    assert rows(tmp_path) == [1, 2, 3, 4, 5, 6]
    for step, state in reversed(states):
        assert StepLog(tmp_path, ("a", "b")).store.resume(state) == []
        assert rows(tmp_path) == list(range(1, step + 1))


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), flip, lambda p: p.write_bytes(b"")])
def test_a_damaged_part_is_dropped_named_and_remembered(tmp_path, damage):
    log = StepLog(tmp_path, ("a", "b"))
    for part in ((1, 2, 3), (4,), (5, 6)):
        add(log, *part)
        log.flush()
    damage(tmp_path / "part-000000004.parquet")
    resumed = StepLog(tmp_path, ("a", "b"))
    assert resumed.store.resume(log.store.state_dict()) == ["part-000000004.parquet"]
    assert rows(tmp_path) == [1, 2, 3, 5, 6]
    again = StepLog(tmp_path, ("a", "b"))
    assert again.store.resume(resumed.store.state_dict()) == []
    assert again.store.lost == ["part-000000004.parquet"]


def test_a_flipped_byte_in_a_part_is_found_when_it_is_read(tmp_path):
    log = StepLog(tmp_path, ("a", "b"))
    add(log, *range(1, 200))
    log.flush()
    (part,) = tmp_path.glob("*.parquet")
    flip(part)
    with pytest.raises(OSError, match=r"checksum|CRC|Corrupt"):
        pq.read_table(part, page_checksum_verification=True)


def test_a_task_without_labels_has_no_numbers_in_the_row(tmp_path):
    log = StepLog(tmp_path, ("a", "b", "c"))
    gram = np.array([[4.0, 3.0], [3.0, 9.0]])
    log.add(1, 1, (0, 2), np.array([1.0, 2.0]), np.array([0.3, 0.0, 0.7]), gram, {})
    log.flush()
    table = pq.read_table(tmp_path / "part-000000001.parquet").to_pydict()
    assert (table["loss/a"], table["loss/c"]) == ([1.0], [2.0])
    assert (table["gram/c"], table["cosine/a/c"]) == ([9.0], [0.5])
    assert table["weight/b"] == [0.0]
    for name in ("loss/b", "gram/b", "cosine/a/b", "cosine/b/c"):
        assert np.isnan(table[name][0]), name


def test_columns_of_the_gram_matrix(tmp_path):
    gram = np.array([[4.0, 3.0], [3.0, 9.0]])
    log = StepLog(tmp_path, ("a", "b"))
    add(log, 1, gram=gram)
    add(log, 2, gram=np.zeros((2, 2)))
    log.flush()
    table = pq.read_table(tmp_path / "part-000000001.parquet").to_pydict()
    assert table["gram/a"] == [4.0, 0.0]
    assert table["gram/b"] == [9.0, 0.0]
    assert table["cosine/a/b"] == pytest.approx([0.5, 0.0])
    assert table["x"] == [1.0, 2.0]
    assert set(table) == {
        *("step", "epoch", "loss/a", "loss/b", "weight/a", "weight/b"),
        *("gram/a", "gram/b", "cosine/a/b", "x"),
    }


@pytest.mark.parametrize("name", [".lock", "steps", "checkpoint", "metrics.jsonl"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "part-000000001.parquet").write_text("mine")
    target = mine if name in ("steps", "checkpoint") else mine / "part-000000001.parquet"
    record = tmp_path / "record"
    record.mkdir()
    (record / name).symlink_to(target)
    with pytest.raises(RecordError, match=rf"{name} is a link, records have none: move "):
        RunRecord(record).__enter__()
    assert [path.name for path in mine.iterdir()] == ["part-000000001.parquet"]
    assert (mine / "part-000000001.parquet").read_text() == "mine"
