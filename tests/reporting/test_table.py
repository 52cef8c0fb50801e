"""The forms of a table."""

import re
import shutil
import subprocess

import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.command import SETTINGS, tables
from mtl_bench.reporting.selections import render_selections
from mtl_bench.reporting.table import NO_CELL, Cell, Columns, Table, as_latex, as_markdown
from mtl_bench.reporting.tables import render_tables
from tests.records.synthetic import qm9_tasks, scaled, write_record
from tests.reporting.test_tables import cell, rows_of, scene

PDFLATEX = shutil.which("pdflatex")
TABLE = Table(
    "mini / qm9",
    "method",
    ["a_b", "c|d", "e"],
    Columns(
        ["α [a₀³] ↓"],
        [[Cell("1.00 ± 0.10", 1.0, 0.1, "best"), Cell("2.00", 2.0, None, "second"), NO_CELL]],
    ),
    Columns(["95 %", "n"], [[Cell("[+1.0, +2.0]"), NO_CELL, NO_CELL], [Cell("2", 2)] * 3]),
    ["Conditions, P(> LS).", "- a note: 1 < 2 & {a}"],
)


def test_markdown_marks_the_best_and_escapes_bars():
    text = as_markdown(TABLE, 100)
    assert text.startswith("## mini / qm9\n\n| method |")
    assert "**1.00 ± 0.10**" in text
    assert "c\\|d" in text
    assert text.endswith("Conditions, P(> LS).\n- a note: 1 < 2 & {a}")


def test_latex_is_a_tabular_of_plain_ascii():
    text = as_latex(TABLE)
    assert text.isascii()
    assert r"method & $\alpha$ [a$_0$$^3$] $\downarrow$ & 95 \% & n \\" in text
    assert r"a\_b & \textbf{1.00 $\pm$ 0.10} & [+1.0, +2.0] & 2 \\" in text
    assert r"c$|$d & \textit{2.00} & -- & 2 \\" in text
    assert text.count(r"\\") == 4


def test_latex_prints_title_and_notes_below_the_tabular():
    _, below = as_latex(TABLE).split(r"\end{tabular}" + "\n")
    assert below.splitlines() == [
        r"\par\smallskip",
        r"{\footnotesize\raggedright",
        r"mini / qm9\par",
        r"Conditions, P($>$ LS).\par",
        r"a note: 1 $<$ 2 \& \{a\}\par",
        "}",
    ]


@pytest.mark.parametrize("label", ["[0] x", "*"])
def test_a_row_that_begins_like_an_argument_is_no_argument(label):
    table = Table("t", label, [label], Columns(), Columns(["n"], [[Cell("2", 2)]]), [])
    lines = as_latex(table).splitlines()
    assert lines.count(f"{{}}{label} & n \\\\") == 1
    assert lines.count(f"{{}}{label} & 2 \\\\") == 1


def latex_of_records(tmp_path):
    for method in ("stl", "ls", "taskforce-noise_0.1"):
        for seed in (0, 1) if method != "ls" else (0,):
            data = {"kind": "procedural", "source": "50% of {a} & #1 $~^", "manifest": "0"}
            changes = {"values": scaled(1.0 + seed), "tasks": qm9_tasks(), "data": data}
            write_record(tmp_path, method, seed, **changes)
    return render_tables(find_records(tmp_path), form="latex")


def test_everything_that_latex_would_take_for_a_command_is_escaped(tmp_path):
    text = latex_of_records(tmp_path)
    assert text.isascii()
    assert "only seed 0" in text[text.index(r"\end{tabular}") :]
    rows = text[text.index("method &") : text.index(r"\end{tabular}")].replace(r"\\", "")
    outside = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", text)  # of formulas
    assert re.findall(r"(?<!\\)[#%~$_^<>|]", outside) == []
    bare = re.sub(r"\\[{}]", "", text)
    depths = [bare[:i].count("{") - bare[:i].count("}") for i in range(len(bare) + 1)]
    assert (min(depths), depths[-1]) == (0, 0)
    columns = len(re.findall(r"\{l(r+)\}", text)[0])
    lines = [line for line in rows.splitlines() if " & " in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {columns}


@pytest.mark.skipif(
    PDFLATEX is None, reason="needs LaTeX: apt-get install texlive-latex-recommended"
)
def test_latex_takes_it(tmp_path):
    body = latex_of_records(tmp_path / "results")
    (tmp_path / "a.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    )
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_published_baseline_is_loud_and_needs_no_stl(tmp_path):
    values = {"semantic": {"miou": 41.0}, "depth": {"abs": 0.6}}
    task = {
        "label": "Seg",
        "metrics": {
            "miou": {"unit": "%", "higher_is_better": True, "decimals": 2, "reference": 50.0}
        },
    }
    write_record(tmp_path, "ls", 0, values=values, tasks={"semantic": task})
    text = render_tables(find_records(tmp_path), baseline="published", width=240)
    assert cell(text, "ls", "Δm [%] ↓") == "+18.00"
    assert "against the PUBLISHED single-task values" in " ".join(text.split())
    assert "no Δm" not in text


def test_rules_stand_side_by_side_each_against_its_own_stl(tmp_path):
    for method, best, last in (("stl", 40.0, 20.0), ("ls", 44.0, 30.0)):
        metrics = {
            "best_val": {"semantic": {"miou": best}, "depth": {"abs": 0.5}},
            "last": {"semantic": {"miou": last}, "depth": {"abs": 0.5}},
        }
        for seed in (0, 1) if method == "stl" else (0,):
            scene(tmp_path, method, seed, 0.0, 0.0, metrics=metrics)
    text = render_selections(find_records(tmp_path), form="markdown", width=100)
    assert rows_of(text, "ls")[0][1:] == ["-5.00", "-25.00", "1"]
    assert "- ls: only seed 0." in text
    assert "last_k_mean" not in text


def under_rules(miou, *rules):
    return {rule: {"semantic": {"miou": miou}, "depth": {"abs": 0.5}} for rule in rules}


def test_rules_side_by_side_say_what_the_plain_table_says(tmp_path):
    both = {"metrics": under_rules(40.0, "best_val", "last")}
    for seed in (0, 1):
        scene(tmp_path, "stl", seed, 0.0, 0.0, **both)
    for seed in (0, 1, 2):
        scene(tmp_path, "ls", seed, 0.0, 0.0, **both)
    heavy = {"settings": {"dataset": {"scale": 30}}}
    scene(tmp_path, "mgda", 3, 0.0, 0.0, **both, **heavy)
    write_record(tmp_path, "uw", 0, done=False, error="disk full")
    text = render_selections(find_records(tmp_path), form="markdown", width=400)
    assert [cell(text, label, "n") for label in ("stl", "ls", "mgda")] == ["2", "3", "1"]
    assert [cell(text, label, "Δm, n") for label in ("stl", "ls", "mgda")] == ["2", "2", "–"]
    assert "- ls: Δm and Δt over the seeds that STL has too: 0, 1." in text
    assert "- mgda: no Δm without STL runs of the same seeds: `mtl-bench train" in text
    assert "- The rows differ in more than the method. dataset.scale: 30 in mgda" in text
    assert "Not shown: 1 failed (see `mtl-bench status" in text
    assert render_selections(find_records(tmp_path), form="csv", width=400).count("\n") == 4


def test_a_rule_that_some_runs_lack_has_counts_of_its_own(tmp_path):
    for seed in (0, 1):
        rules = ("best_val", "last") if seed else ("best_val",)
        for label in ("stl", "ls"):
            scene(tmp_path, label, seed, 0.0, 0.0, metrics=under_rules(40.0, *rules))
    scene(tmp_path, "mgda", 0, 0.0, 0.0, metrics=under_rules(40.0, "best_val"))
    text = render_selections(find_records(tmp_path), form="markdown", width=400)
    assert [cell(text, "ls", f"n {rule}") for rule in ("best_val", "last")] == ["2", "1"]
    assert [cell(text, "mgda", f"n {rule}") for rule in ("best_val", "last")] == ["1", "–"]
    assert "- mgda: only seed 0 (best_val)." in text


def test_settings_that_differ_in_the_kind_of_data_alone_have_a_table_each(tmp_path):
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    data = {"kind": "procedural", "source": "qm9pack 1.0.3", "manifest": "0123"}
    scene(tmp_path, "uw", 0, 40.0, 0.5, data=data)
    text = render_selections(find_records(tmp_path), form="markdown", width=400)
    assert [len(rows_of(text, label)) for label in ("ls", "uw")] == [1, 1]


def settings_of(tmp_path, **changes):
    plain = {key.replace("__", "."): value for key, value in SETTINGS.items()}
    return plain | {"paths.results": str(tmp_path / "results")} | changes


def test_tables_are_written_in_every_form(tmp_path, capsys):
    scene(tmp_path / "results", "ls", 0, 40.0, 0.5, dataset="nyuv2")
    folder = tmp_path / "tables"
    changes = {"paths.tables": str(folder)}
    tables(["table1", "table5", "table6"], settings_of(tmp_path, **changes))
    tables([], settings_of(tmp_path, **changes))
    names = {path.name for path in folder.iterdir()}
    stems = ("table1", "table5", "tables")  # there is no TaskForce for table6
    assert names == {f"{stem}.{end}" for stem in stems for end in ("md", "tex", "csv")}
    first = (folder / "table1.md").read_text()
    assert first in capsys.readouterr().out
    assert "missing" in rows_of(first, "RLW")[0]
    assert (folder / "table5.md").read_text().count("x1.00") >= 3


def test_seeds_can_be_chosen(tmp_path, capsys):
    for seed, miou in ((0, 40.0), (1, 30.0), (2, 20.0)):
        scene(tmp_path / "results", "ls", seed, miou, 0.5)
    tables([], settings_of(tmp_path, seed="0,1"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "35.00 ± 7.07" in shown
    assert "seeds 0, 1;" in shown
    with pytest.raises(ConfigError, match="seed=x: must be whole numbers"):
        tables([], settings_of(tmp_path, seed="x"))


def test_without_a_finished_run_no_table_is_written(tmp_path, capsys):
    scene(tmp_path / "results", "ls", 0, 40.0, 0.5, dataset="nyuv2")
    next((tmp_path / "results").rglob("DONE")).unlink()
    tables(["table1"], settings_of(tmp_path, **{"paths.tables": str(tmp_path / "tables")}))
    assert "mtl-bench train -m experiment=table1" in capsys.readouterr().out
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize(
    ("names", "changes", "advice"),
    [
        ([], {}, "dataset=nyuv2 method=taskforce seed=0,1,2 profile=demo"),
        ([], {"selection": "all"}, "dataset=nyuv2 method=taskforce seed=0,1,2 profile=demo"),
        (["table1"], {}, "experiment=table1 dataset=nyuv2 seed=0,1,2 profile=demo"),
        (["table2_qm9"], {}, "experiment=table2_qm9 dataset=qm9 seed=0,1,2 profile=demo"),
        (["table5"], {}, "profile=demo"),
        ([], {"profile": "typo"}, "No run record has profile=typo; there are demo."),
    ],
)
@pytest.mark.parametrize("form", ["csv", "latex"])
def test_what_is_no_table_is_not_where_a_program_reads(
    tmp_path, names, changes, advice, form, capsys
):
    place = {"profile": "demo", "dataset": "nyuv2", "done": False}
    scene(tmp_path / "results", "ls", 0, 40.0, 0.5, **place)
    tables(names, settings_of(tmp_path, format=form, **changes))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert advice in shown.err


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        ([], {"format": "html"}, "format=html: must be one of markdown, latex, csv"),
        ([], {"baseline": "paper"}, "baseline=paper: must be one of own, published"),
        *(
            (
                names,
                {"selection": value},
                f"selection={value}: must be one of best_val, last, last_k",
            )
            for names in ([], ["table1"], ["table5"], ["weights"])
            for value in ("foo", "", "best_val,last")
        ),
        (["table1"], {"selection": "all"}, "selection=all: must be one of best_val, last, last_k"),
        *(
            ([name], {"baseline": "published"}, f"{name} takes no baseline=published: leave it out")
            for name in ("against_ls", "costs", "table5", "weights")
        ),
        (
            ["table1", "table6"],
            {"selection": "last"},
            "table6 takes no selection=last: leave it out",
        ),
        (
            [],
            {"selection": "all", "baseline": "published"},
            "selection=all takes no baseline=published: leave it out",
        ),
    ],
)
def test_an_unknown_choice_is_named(tmp_path, names, changes, message):
    with pytest.raises(ConfigError, match=message):
        tables(names, settings_of(tmp_path, **changes))


def test_an_unknown_table_is_named(tmp_path):
    with pytest.raises(ConfigError, match="unknown table table99; allowed: "):
        tables(["table99"], settings_of(tmp_path))
