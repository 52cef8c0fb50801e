"""Choices that no record has."""

from pathlib import Path

import pytest

from mtl_bench.cli import main
from mtl_bench.reporting.advice import explain_no_records
from tests.records.synthetic import qm9_tasks, scaled, write_record

HOMO = {"values": scaled(2.0, "homo"), "tasks": qm9_tasks("homo")}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_record(tmp_path, "ls", 0, **HOMO)
    write_record(tmp_path, "taskforce-gram", 1, **HOMO)
    write_record(tmp_path, "ls", 2, profile="demo", dataset="nyuv2", **HOMO)
    return tmp_path


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"profile": "typo"}, "No run record has profile=typo; there are demo, mini."),
        ({"profile": None, "dataset": "qm8"}, "has dataset=qm8; there are nyuv2, qm9."),
        ({"profile": "mini", "dataset": "nyuv2"}, "profile=mini and dataset=nyuv2; there are qm9."),
        ({"dataset": "qm9", "method": "mgda"}, "=mgda; there are ls, taskforce-gram."),
        ({"method": "taskforce", "seed": "0,7"}, "method=taskforce and seed=0,7; there are 1."),
    ],
)
def test_the_first_choice_that_none_has_is_named(
    chosen: dict[str, str | None], said: str, results: Path
) -> None:
    (results / "mini" / "qm9" / "ls" / "seed-none").mkdir()  # no record
    assert explain_no_records(results, chosen).endswith(said)


def test_where_there_is_no_record_the_first_command_is_named(tmp_path: Path) -> None:
    assert "mtl-bench train" in explain_no_records(tmp_path / "missing", {"profile": "mini"})


@pytest.mark.parametrize("command", ["status", "tables", "figures"])
@pytest.mark.parametrize("word", ["profile=typo", "dataset=typo"])
def test_the_commands_say_so(
    command: str, word: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, word, f"paths.results={results}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No run record has {word}; there are ")
    assert len(said.splitlines()) == 1
