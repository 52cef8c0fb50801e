"""Methods against one of them, seed by seed, from records whose scores are known."""

import pytest

from mtl_bench.cli import main
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.run_tables import render_runs
from tests.records.control import explode
from tests.records.synthetic import qm9_tasks, scaled, write_record

SEEDS = 6


def record(results, label, seed, factor, **changes):
    return write_record(results, label, seed, values=scaled(factor), tasks=qm9_tasks(), **changes)


@pytest.fixture
def results(tmp_path):
    for seed in range(SEEDS):
        record(tmp_path, "stl", seed, 1.0)
        record(tmp_path, "ls", seed, 1.2 + 0.1 * seed)
        record(tmp_path, "uw", seed, 1.1 + 0.1 * seed)
        record(tmp_path, "mgda", seed, 1.2 + 0.1 * seed + (0.2 if seed % 2 else -0.2))
        record(tmp_path, "taskforce-de", seed, 1.3 + 0.1 * seed)
    record(tmp_path, "pcgrad", 0, 1.0)
    return tmp_path


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_differences_are_those_of_the_same_seeds(results):
    text = render_runs("against_ls", find_records(results), form="markdown", width=200)
    heads, _, *rows = rows_of(text)
    assert heads == ["", "difference [%]", "95 %", "better", "worse", "n", "p", "p, Holm"]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == {"uw", "mgda", "taskforce-de"}
    assert found["uw"] == ["-10.00 ± 0.00", "[-10.00, -10.00]", "6", "0", "6", "0.031", "0.062"]
    assert found["taskforce-de"][-2:] == ["0.031", "0.031"]  # a family of its own
    assert found["mgda"][0] == "0.00 ± 21.91"
    assert found["mgda"][2:] == ["3", "3", "6", "1.000", "1.000"]
    assert "could be under 5 %: pcgrad." in " ".join(text.split())


def test_any_method_may_be_the_reference(results, capsys):
    text = render_runs("against_uw", find_records(results), form="markdown", width=200)
    found = {row[0]: row[1] for row in rows_of(text)[2:]}
    assert found["ls"] == "+10.00 ± 0.00"
    assert found["taskforce-de"] == "+20.00 ± 0.00"
    assert main(["tables", "against_uv", f"paths.results={results}"]) == 2
    assert "unknown table against_uv; allowed: " in capsys.readouterr().err


def test_without_the_reference_or_with_few_seeds_there_is_no_table(results, capsys):
    assert render_runs("against_equal", find_records(results), form="markdown", width=200) == ""
    few = [record for record in find_records(results) if record.seed < SEEDS - 1]
    assert render_runs("against_ls", few, form="markdown", width=200) == ""
    assert main(["tables", "against_ls", "seed=0,1", f"paths.results={results}"]) == 0
    told = "mini / qm9 has no method with 6 seeds in common with ls under the same settings: "
    assert capsys.readouterr().out.startswith(told)


ADVICE = "`mtl-bench train -m method={} seed=0,1,2,3,4,5 dataset=qm9 profile=mini paths.results={}`"


@pytest.mark.parametrize(
    ("there", "lack", "methods"),
    [
        (("ls", "uw"), "no STL run, which Δm is against", "stl,ls,uw"),
        (("stl", "uw", "taskforce-de"), "no run of ls", "stl,ls,uw"),
        (("stl", "ls"), "no run of a method beside ls", "stl,ls,pcgrad"),
        (("uw",), "no run of ls and no STL run, which Δm is against", "stl,ls,uw"),
    ],
)
def test_what_is_missing_is_told_with_the_command(tmp_path, there, lack, methods, capsys):
    for label in there:
        for seed in range(SEEDS if label == "ls" else 2):
            record(tmp_path, label, seed, 1.0)
    assert main(["tables", "against_ls", f"paths.results={tmp_path}"]) == 0
    advice = ADVICE.format(methods, tmp_path)
    assert capsys.readouterr().out == f"mini / qm9 has {lack}: {advice}\n\n"


def test_without_a_run_all_that_the_table_takes_is_advised(tmp_path, capsys):
    record(tmp_path, "ls", 0, 1.0, done=False)
    assert main(["tables", "against_equal", f"paths.results={tmp_path}"]) == 0
    assert "method=stl,equal,pcgrad seed=0,1,2,3,4,5 " in capsys.readouterr().out
    assert main(["tables", "against_pcgrad", f"paths.results={tmp_path}"]) == 0
    assert "method=stl,pcgrad,ls seed=0,1,2,3,4,5 " in capsys.readouterr().out


HEAVY = {"settings": {"dataset": {"scale": 30}}}


@pytest.fixture
def scales(tmp_path):
    """Rows under two settings, of which one has LS, and a row under a third."""
    for seed in range(SEEDS):
        record(tmp_path, "stl", seed, 1.0)
        record(tmp_path, "stl-heavy", seed, 1.5, **HEAVY)
        record(tmp_path, "ls", seed, 1.2 + 0.1 * seed)
        record(tmp_path, "uw", seed, 1.1 + 0.1 * seed)
        record(tmp_path, "mgda-heavy", seed, 2.0 + 0.1 * seed, **HEAVY)
        record(tmp_path, "mgda-light", seed, 2.0, settings={"dataset": {"scale": 3}})
    return tmp_path


def render(results):
    return render_runs("against_ls", find_records(results), form="markdown", width=200)


def test_a_row_is_held_against_a_reference_under_its_own_settings(scales):
    text = render(scales)
    assert [row[0] for row in rows_of(text)[2:]] == ["uw"]
    assert rows_of(text)[2][-2:] == ["0.031", "0.031"]  # alone in its family
    told = "Left out, since no ls was trained under their settings: 2 rows, mgda-heavy, mgda-light."
    assert told in " ".join(text.split())


def test_a_variant_of_the_reference_under_other_settings_has_a_table_of_its_own(scales):
    for seed in range(SEEDS):
        record(scales, "ls-heavy", seed, 2.2 + 0.1 * seed, **HEAVY)
    plain, heavy = render(scales).split("\n\n## ")
    assert [row[0] for row in rows_of(plain)[2:]] == ["uw"]
    assert heavy.startswith("against ls-heavy: mini / qm9\n")
    assert [row[:2] for row in rows_of(heavy)[2:]] == [["mgda-heavy", "-20.00 ± 0.00"]]
    assert "settings: 1 row, mgda-light." in plain
    assert "Left out" not in heavy


def test_runs_that_have_ended_without_a_score_are_told(results):
    for seed in (6, 7):
        explode(record(results, "uw", seed, 1.0, done=False))
    record(results, "ls", 6, 1.0, done=False, error="disk full")
    record(results, "mgda", 6, 1.0, done=False)  # goes on some day
    told = "whose seeds are left out: 1 failed of ls, 2 exploded of uw."
    assert told in " ".join(render(results).split())
    assert "Runs without" not in render_runs(
        "against_ls",
        [r for r in find_records(results) if r.seed < SEEDS],
        form="markdown",
        width=99,
    )
