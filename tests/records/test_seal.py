"""DONE and the hashes in it."""

import json
from pathlib import Path

import pytest

from mtl_bench.files import write_json
from mtl_bench.records.seal import FILES, changed_files, seal

TIME = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text(f"this is {name}\n")
    write_json(tmp_path / "DONE", seal(tmp_path, TIME))
    return tmp_path


def test_a_whole_record_is_finished(record: Path) -> None:
    assert json.loads((record / "DONE").read_text())["finished"] == TIME
    assert changed_files(record) == []


@pytest.mark.parametrize("name", FILES)
def test_any_change_of_any_file_is_seen(record: Path, name: str) -> None:
    path = record / name
    text = path.read_bytes()
    for damaged in (b"", text[:-1], text + b"\n", text.replace(b"t", b"u", 1)):
        path.write_bytes(damaged)
        assert changed_files(record) == [name]
    path.unlink()
    assert changed_files(record) == [name]
    path.write_bytes(text)
    assert changed_files(record) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": {}}', '{"sha256": 3}', "2026", "\0\0"])
def test_a_damaged_seal_is_named(record: Path, text: str) -> None:
    (record / "DONE").write_text(text)
    assert changed_files(record) == ["DONE"]


def test_a_time_alone_is_the_seal_of_earlier_versions(record: Path) -> None:
    (record / "DONE").write_text(TIME + "\n")
    (record / "summary.json").write_text("other")
    assert changed_files(record) == []
