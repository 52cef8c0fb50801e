"""What somebody else wrote into a record can't speak to a terminal, a table or a page."""

import json
import unicodedata
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mtl_bench.cli import main
from mtl_bench.files import printable
from tests.records.synthetic import finish, write_record

CLEAR, BELL, BACK, TURN = "\x1b[2J", "\a", "\b\x7f", "\u202e"
HOSTILE = f"{CLEAR}a{BELL}{BACK}\r\n\t\x9b31m{TURN}\u2028\ud800b|"


def hostile(name):
    return f"{name}{HOSTILE}"


def write_hostile(results: Path):
    """Write finished and failed records in which every text is hostile."""
    metric = {"unit": hostile("m"), "higher_is_better": False, "decimals": 2, "reference": 1.0}
    tasks = {
        hostile(name): {"label": hostile(name), "metrics": {hostile("abs"): metric}}
        for name in ("depth", "normal")
    }
    for label, factor in (("stl", 1.0), ("ls", 1.5), (f"taskforce-{CLEAR}{TURN}", 1.2)):
        values = {task: {hostile("abs"): factor} for task in tasks}
        path = write_record(
            results,
            label,
            0,
            values=values,
            tasks=tasks,
            data={"kind": hostile("kind"), "source": hostile("source"), "manifest": hostile("m")},
            architecture=hostile("net"),
            protocol=hostile("rules"),
            device=hostile("cpu"),
            settings={"optimizer": {"lr": hostile(label)}},
        )
        (path / "environment.json").write_text(json.dumps({"device": hostile("gpu")}))
        line = {"epoch": 1, "test": values, "train_loss": dict.fromkeys(tasks, 0.5)}
        (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        (path / "steps").mkdir()
        names = [f"{kind}/{name}" for kind in ("loss", "weight") for name in ("depth", f"n{TURN}")]
        columns = {name: np.linspace(0, 1, 4) for name in ("step", *names)}
        parquet.write_table(pa.table(columns), path / "steps" / "part-000000001.parquet")
        finish(path)
    write_record(results, f"mgda-{BELL}", 1, done=False, error=hostile("no"), tasks=tasks)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_hostile(tmp_path / "results")
    return tmp_path / "results"


def commanding(text):
    """Return the characters of a text that are more than letters, but for its line breaks."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return {c for c in text if unicodedata.category(c) in kinds} - {"\n"}


@pytest.mark.parametrize(
    "words",
    ["status", "tables", "tables format=csv", "tables format=latex", "tables selection=all"],
)
def test_no_command_prints_it(words, results, capsys):
    assert main(words.split()) == 0
    told = "".join(capsys.readouterr())
    assert commanding(told) == set()
    assert "x1b[2J" in told


@pytest.mark.parametrize("words", ["status method=gone", "tables weights", "figures figure4"])
def test_what_is_missing_is_told_without_it(words, results, capsys):
    assert main(words.split()) == 0
    assert commanding("".join(capsys.readouterr())) == set()


def test_a_label_stays_in_its_line_and_cell(results, capsys):
    main(["tables"])
    lines = capsys.readouterr().out.splitlines()
    for is_row, table in groupby(lines, key=lambda line: line.startswith("|")):
        if is_row:
            assert len({row.replace(r"\|", "").count("|") for row in table}) == 1


def test_the_page_has_none_of_it(results):
    page = results / "mini" / "report.html"
    assert main(["report"]) == 0
    text = page.read_text()
    assert commanding(text) == set()
    block = text.partition('type="application/json" id="data">')[2]
    data = json.loads(block.partition("</script>")[0])

    def texts(value):
        if isinstance(value, dict):
            return [text for pair in value.items() for part in pair for text in texts(part)]
        if isinstance(value, list):
            return [text for part in value for text in texts(part)]
        return [value] if isinstance(value, str) else []

    assert set().union(*map(commanding, texts(data))) == set()
    assert any("\\x1b[2J" in text for text in texts(data))


def test_an_error_names_a_hostile_folder_in_plain_letters(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["show", f"no{CLEAR}\nrun"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtl-bench: no\\x1b[2J run holds no run")


def test_a_plain_text_is_what_it_was():
    for text in ("ε_HOMO [meV] ↓", "⟨R²⟩", "naïve 日本", ""):
        assert printable(text) is text
    assert printable("a\u00a0b\tc") == "a b c"
