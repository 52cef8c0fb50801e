"""Tables as CSV, read back by pandas."""

import csv
import io

import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.command import SETTINGS, tables
from mtl_bench.reporting.experiment_tables import render_experiment
from mtl_bench.reporting.inference import Interval
from mtl_bench.reporting.run_tables import render_runs
from mtl_bench.reporting.statistics import compare, runs_under
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Table
from mtl_bench.reporting.table_csv import as_csv
from mtl_bench.reporting.tables import metric_header, render_tables
from tests.records.synthetic import SCENE_TASKS, qm9_tasks, scaled, write_record
from tests.reporting.figures.records import PROCEDURAL, write_run

pandas = pytest.importorskip("pandas")

FIRST = Table(
    "mini / one",
    "method",
    ["a_b", "c", "d"],
    Columns(["x ↓"], [[Cell("1.00 ± 0.10", 1.0, 0.1), Cell("2.00", 2.0), NO_CELL]]),
    Columns(
        ["95 %", "cost", "paper", "sd", "again", "sd"],
        [
            [Cell("[-1.0, +2.5]", interval=Interval(-1.04, 2.51)), NO_CELL, Cell("missing")],
            [Cell("x8.79", 8.791), Cell("x6.76k*", 6763.0), NO_CELL],
            *([Cell(text, float(text))] * 3 for text in ("4.0", "0.5", "5.0", "0.25")),
        ],
    ),
    [
        "All conditions.",
        "- ¹ one note.",
        "- ² other note.",
        "- d: third.",
        "- * computed.",
        "- x: y.",
    ],
    ["", "¹,²", ""],
)
SECOND = Table(
    "mini / two",
    "method",
    ["a_b"],
    Columns(["y"], [[Cell("7", 7)]]),
    Columns(["x ↓"], [[Cell("3.00 ± 0.20", 3.0, 0.2)]]),
    ["Others."],
)


def read(text):
    found = pandas.read_csv(io.StringIO(text))
    header = next(csv.reader([text.splitlines()[0]]))
    assert len(set(header)) == len(header)  # pandas renames what is there twice
    return found


def test_two_tables_are_one_rectangle():
    found = read(as_csv([FIRST, SECOND]))
    assert list(found) == [
        "table", "method", "x ↓", "x ↓ sd", "95 % low", "95 % high", "cost", "paper", "paper sd",
        "again", "again sd", "y", "notes", "conditions",
    ]  # fmt: skip
    assert found["table"].tolist() == ["mini / one"] * 3 + ["mini / two"]
    assert found["method"].tolist() == ["a_b", "c", "d", "a_b"]
    numbers = found[list(found)[2:-2]].fillna(-9).to_numpy().tolist()
    assert numbers == [
        [1.0, 0.1, -1.04, 2.51, 8.791, 4.0, 0.5, 5.0, 0.25, -9],
        [2.0, -9, -9, -9, 6763.0, 4.0, 0.5, 5.0, 0.25, -9],
        [-9, -9, -9, -9, -9, 4.0, 0.5, 5.0, 0.25, -9],
        [3.0, 0.2, -9, -9, -9, -9, -9, -9, -9, 7],
    ]
    notes = ["", "one note; other note; computed", "95 %: missing; third", ""]
    assert found["notes"].fillna("").tolist() == notes
    assert found["conditions"].tolist() == ["All conditions. x: y."] * 3 + ["Others."]


@pytest.fixture
def results(tmp_path):
    """Two data sets, one procedural; a seed, a metric and an STL that are missing."""
    folder = tmp_path / "results"
    for seed, factor in ((0, 1.0), (1, 1.1)):
        for label, own in (("stl", 1.0), ("ls", 1.3), ("taskforce", 1.2)):
            if (label, seed) != ("ls", 1):
                values = {"values": scaled(own * factor), "tasks": qm9_tasks()}
                write_record(folder, label, seed, **values)
    write_record(folder, "uw", 0, done=False, epochs_done=3)
    for label, error in (("ls", 0.5), ("taskforce", None)):
        values = {"semantic": {"miou": 40.0}, "depth": {"abs": error}}
        own = {"values": values, "tasks": SCENE_TASKS, "data": PROCEDURAL}
        write_record(folder, label, 0, dataset="nyuv2", **own)
    return folder


NAMES = ("tables", "table1", "table2_qm9", "table3", "table4", "table5", "table7", "table8")


def test_pandas_reads_every_table_that_is_written(results, tmp_path, capsys):
    plain = {key.replace("__", "."): value for key, value in SETTINGS.items()}
    paths = {"paths.results": str(results), "paths.tables": str(tmp_path / "tables")}
    tables([], plain | paths)
    tables(NAMES[1:], plain | paths)
    for name in NAMES:
        found = read((tmp_path / "tables" / f"{name}.csv").read_text())
        numbers = found.iloc[:, 2:-2]
        assert list(numbers) == list(numbers.select_dtypes("number")), name
        assert found["conditions"].notna().all()


def test_the_numbers_are_those_of_the_comparison(results, tmp_path, capsys):
    plain = {key.replace("__", "."): value for key, value in SETTINGS.items()}
    paths = {"paths.results": str(results), "paths.tables": str(tmp_path)}
    tables([], plain | paths)
    found = read((tmp_path / "tables.csv").read_text()).set_index(["table", "method"])
    for comparison in compare(runs_under(find_records(results), None)):
        setting = comparison.setting
        several = len({column.metric for column in comparison.columns}) > 1
        for row in comparison.rows:
            line = found.loc[(f"{setting.profile} / {setting.dataset}", row.name)]
            for column, spread in zip(comparison.columns, row.metrics, strict=True):
                head = metric_header(column, with_metric=several)
                values = (spread.mean, spread.sd) if spread else (None, None)
                assert_same(line.get(head), values[0])
                assert_same(line.get(f"{head} sd"), values[1])
            assert_same(line["Δm [%] ↓"], row.score.mean if row.score else None)
            assert_same(line["n"], len(row.seeds))
            low, high = row.score_interval or (None, None)
            assert_same(line["95 % low"], low)
            assert_same(line["95 % high"], high)
    assert "PROCEDURAL data" in found.loc[("mini / nyuv2", "ls"), "conditions"]
    assert "selection best_val" in found.loc[("mini / qm9", "ls"), "conditions"]
    assert found.loc[("mini / qm9", "ls"), "notes"] == "only seed 0"
    assert "no Δm without STL runs" in found.loc[("mini / nyuv2", "ls"), "notes"]


def assert_same(number, expected):
    if expected is None:
        assert number is None or pandas.isna(number)
    else:
        assert number == pytest.approx(expected, rel=1e-12)


def test_labels_are_whole_whatever_they_end_in(tmp_path):
    both = {"values": scaled(1.0), "tasks": qm9_tasks()}
    for label, title in (("ls", "L²"), ("uw", "U,"), ("mgda", "M¹")):
        write_record(tmp_path, label, 0, title=title, **both)
    write_record(tmp_path, "ls", 1, title="L²", **both)
    found = read(render_tables(find_records(tmp_path), form="csv")).set_index("method")
    assert set(found.index) == {"L²", "U,", "M¹"}
    assert "seeds 0, 1" in found.loc["L²", "notes"]
    assert "seeds 0, 1" not in found.loc["M¹", "notes"]
    assert "no Δm without STL runs" in found.loc["U,", "notes"]
    text = render_tables(find_records(tmp_path), width=400)
    assert "| L²¹,² " in text


def test_states_of_runs_are_notes(results):
    found = read(render_experiment("table2_qm9", find_records(results), form="csv"))
    notes = found.set_index("row")["notes"]
    assert notes["UW"] == "Δm [%] ↓: interrupted 3/30"
    assert notes["RLW"] == "Δm [%] ↓: missing"


def test_shares_of_weights_are_numbers(tmp_path):
    write_run(tmp_path, "taskforce", 0)
    found = read(render_runs("weights", find_records(tmp_path), form="csv", width=100))
    assert found.loc[0, "run"] == "taskforce seed 0"
    assert found.loc[0, "Seg"] + found.loc[0, "Depth"] == pytest.approx(100.0)
