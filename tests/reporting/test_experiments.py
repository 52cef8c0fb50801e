"""Tables of papers as data: a file of an installed package is all that one takes."""

import re
import sys

import pytest

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group, find_choices
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.display import find_display, row_order
from mtl_bench.reporting.experiments import find_experiments, published_delta
from mtl_bench.reporting.figures.looks import find_look, method_looks
from mtl_bench.reporting.page.data import page_looks
from mtl_bench.reporting.statistics import compare, runs_under
from tests.added import announce, write_files
from tests.records.synthetic import qm9_tasks, scaled, write_record

FILES = {
    "added_tables/__init__.py": "",
    "added_tables/configs/method/own.yaml": (
        "# Own: a method\ndefaults: [ls, _self_]\n"
        "display: {name: Our method, order: 40, colour: green, dash: dotted, marker: v}\n"
    ),
    "added_tables/configs/experiment/their_table.yaml": """
# @package _global_
# their_table: three methods on QM9
defaults:
  - override /dataset: qm9
  - override /protocol: aligned
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      method: stl,ls,own
      seed: "0,1"
report:
  title: Table 5
  published: theirs.csv
  where: the QM9 of theirs
  architecture: mpnn
  columns:
    - theirs: delta_m
  note: They count in another way.
""",
    "added_tables/published/theirs.csv": "method,delta_m\nSTL,0.0\nOur method,-3.25\n",
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install the package with other contents of its files."""

    def do(**changes):
        site = tmp_path / "site"
        write_files(site, FILES)
        table = site / "added_tables/configs/experiment/their_table.yaml"
        for old, new in changes.items():
            table.write_text(table.read_text().replace(*new) if old else "")
        announce(site, "added-tables", "1.0", {"added": "added_tables.configs"})
        monkeypatch.syspath_prepend(site)

    yield do
    for name in [name for name in sys.modules if name.startswith("added_")]:
        del sys.modules[name]


def test_one_yaml_and_one_csv_are_a_table(install, tmp_path, capsys):
    install()
    for label, factor in (("stl", 1.0), ("ls", 1.5), ("own", 0.5)):
        write_record(tmp_path, label, 0, values=scaled(factor), tasks=qm9_tasks())
    assert main(["tables", "their_table", f"paths.results={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "## Table 5: mini / qm9, beside the paper's numbers for the QM9 of theirs"
    )
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if "|" in line
    ]
    found = {row[0]: (row[1], row[-1]) for row in rows}
    assert found["Our method"] == ("-50.00", "-3.25")
    assert found["LS"] == ("+50.00", "–")
    assert rows[0][-1] == "theirs"
    assert "They count in another way." in text


def test_its_runs_are_those_of_its_sweep_and_its_own_settings(install, capsys):
    install()
    words = ["train", "-m", "--dry-run", "experiment=their_table", "profile=smoke"]
    assert main(words) == 1
    assert capsys.readouterr().out.count("missing: ") == 6
    config = compose_config(["experiment=their_table", "method=own", "profile=smoke"])
    assert config["protocol"]["name"] == "aligned"
    assert not {"report", "display"} & config.keys()


def test_a_table_that_nobody_has_run_names_the_command(install, tmp_path, capsys):
    install()
    assert main(["tables", "their_table", f"paths.results={tmp_path}"]) == 0
    assert "experiment=their_table dataset=qm9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: Table 5", "tilte: Table 5", "unknown key tilte; allowed: title"),
        ("theirs.csv", "none.csv", r"no published table .*added_tables/published/none\.csv"),
        ("title: Table 5", "reference: lss", "reference=lss is the label of no row"),
        ("title: Table 5", "rows: [{methd: ls}]", "unknown key methd; allowed: method"),
        ("title: Table 5", "rows: [{title: x}]", "has neither a method nor an ablation"),
        ("title: Table 5", "rows: 3", "their_table.yaml: report: "),
        ("theirs: delta_m", "theirs", "their_table.yaml: report: "),
        ("method: stl,ls,own", "trainer.epochs: 1,2", "has neither a method nor an ablation"),
    ],
)
def test_a_report_that_will_not_do_is_one_line(install, tmp_path, old, new, message, capsys):
    install(title=(old, new))
    assert main(["tables", "their_table", f"paths.results={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_numbers_of_a_main_table_stand_in_every_table_of_its_data_set(tmp_path):
    write_record(tmp_path, "ls", 0, values=scaled(1.5), tasks=qm9_tasks())
    (found,) = compare(runs_under(find_records(tmp_path), None))
    assert published_delta(found.setting, "ls") == "177.6"
    assert published_delta(found.setting, "torchjd") is None


def test_how_a_method_is_shown_is_no_field_and_no_part_of_its_hash(install):
    install()
    own = compose_config(["dataset=qm9", "method=own", "profile=smoke"])
    assert "display" not in own["method"]
    assert config_hash(own | {"method": own["method"] | {"name": "ls"}}) == config_hash(
        compose_config(["dataset=qm9", "method=ls", "profile=smoke"])
    )
    for word in ("method.display.name=x", "+display={name: x}", "+report={title: x}"):
        with pytest.raises(ConfigError, match=r"display|report"):
            compose_config(["dataset=qm9", "method=own", "profile=smoke", word])


def test_an_added_method_has_its_name_order_and_look(install):
    install()
    assert find_display("method", "own")["name"] == "Our method"
    names = sorted(
        ["taskforce", "own", "mgda", "ls", "stl"], key=lambda name: row_order(name, name)
    )
    assert names == ["stl", "ls", "own", "mgda", "taskforce"]
    look = find_look("own")
    assert look is not None
    assert look.marker == "v"
    looks = method_looks(["own", "taskforce-a", "fairgrad"])  # whose file asks for the same line
    assert looks["fairgrad"] == find_look("fairgrad")
    assert looks["own"] == look._replace(dash=looks["own"].dash)
    assert len({shown[:2] for shown in looks.values()}) == 3
    assert page_looks(["own"])["own"]["mark"] == "triangle"


def test_methods_differ_on_the_page_in_colour_or_mark():
    """A scatter plot has no dashes."""
    looks = page_looks(list(describe_group("method")))
    assert len({(look["colour"], look["mark"]) for look in looks.values()}) == len(looks)


def test_every_variant_of_a_paper_has_a_title_of_its_own():
    for name, experiment in find_experiments().items():
        titles = [line.title for line in experiment.lines]
        assert len(set(titles)) == len(titles), name
        assert not any("$" in title for title in titles), name
    assert {"stl", "de"} <= find_choices("ablation").keys()
