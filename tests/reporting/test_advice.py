"""Commands about records: those of runs lead to their records, others to what is compared."""

import re
import shlex
from pathlib import Path

import pytest

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.launch.cell import inspect_run
from mtl_bench.launch.sweep import inspect_sweep
from mtl_bench.records.reader import find_records
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.reporting.advice import rerun_command, status_command, train_command
from mtl_bench.reporting.experiments import find_experiments
from tests.end_to_end.processes import call_without
from tests.nightly import gate
from tests.records.synthetic import qm9_tasks, scaled, write_record


@pytest.fixture(autouse=True)
def _desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(*words):
    """Make the record of a run that has begun, and return its folder."""
    config = compose_config([*words, "profile=mini"])
    path = record_path(config, config_hash(config))
    with RunRecord(path) as record:
        record.begin(config, {})
    return path


def words_of(command):
    program, train, *words = shlex.split(command)
    assert (program, train) == ("mtl-bench", "train")
    return words


def test_a_command_is_advised_without_torch(tmp_path):
    tasks, values = qm9_tasks("mu"), scaled(1.0, "mu")
    write_record(tmp_path / "results", "ls", 0, tasks=tasks, values=values)
    done = call_without(["torch"], "tables", "profile=mini", cwd=tmp_path)
    assert "mtl-bench train method=stl seed=0 dataset=qm9 profile=mini" in done.stdout
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=qm9", "method=ls"),
        ("dataset=qm9", "method=stl", "seed=3", 'paths.results="o\'er"'),
        ("dataset=qm9", "ablation=gram", "paths.results='a,b'"),
        ("dataset=qm9", "ablation=noise_0.1", "method.buffer_size=100"),
        ("dataset=qm9", "method=cagrad", "protocol=aligned", "method.c=0.25", "variant=c.25"),
        ("dataset=qm9", "method=uw", "optimizer.lr=1e-5", "scheduler.patience=2"),
        ("dataset=qm9", "method=ls", "trainer.precision=bf16", "gradients.level=representation"),
        ("dataset=nyuv2", "method=mgda", "architecture=segnet", "dataset.holdout=2"),
        ("dataset=nyuv2", "method=stl", "optimizer.betas=[0.5,0.75]"),
        ("dataset=cityscapes", "method=igbv2", "scheduler.milestones=[1,2]"),
        ("dataset=cityscapes", "method=rlw", "protocol=nash", "protocol.last_k=3"),
    ],
)
def test_the_command_of_a_run_leads_to_its_record(words):
    path = begin(*words)
    assert inspect_run(words_of(rerun_command(path)))[1:3] == (str(path), "interrupted")
    assert inspect_run(words_of(rerun_command(path.absolute()))).path == str(path.absolute())


def test_what_is_trained_beside_runs_has_all_that_they_share():
    shared = ("dataset=qm9", "dataset.train_size=40", "trainer.accumulate=2")
    begin(*shared, "method=ls", "optimizer.lr=1e-2")
    begin(*shared, "method=cagrad", "method.c=0.25", "seed=1")
    records = find_records(Path("results"))
    command = train_command(records, "method=stl", seeds=[1, 0])
    assert words_of(command) == [
        *("-m", "method=stl", "seed=0,1", "dataset=qm9", "profile=mini"),
        *("dataset.train_size=40", "trainer.accumulate=2"),
    ]
    alone = train_command(records[:1], "method=stl", seeds=[1])
    assert set(words_of(alone)) == {
        *("method=stl", "seed=1", "dataset=qm9", "profile=mini"),
        *("trainer.accumulate=2", "dataset.train_size=40"),
    }


def test_the_data_are_named_where_they_still_are(tmp_path):
    (tmp_path / "d").mkdir()
    path = begin("dataset=qm9", "method=ls", "paths.data=d")
    assert "paths.data=d" in words_of(rerun_command(path))
    (tmp_path / "d").rmdir()
    assert not any(word.startswith("paths.data") for word in words_of(rerun_command(path)))


def test_a_configuration_that_can_no_longer_be_composed_is_no_hindrance():
    path = begin("dataset=qm9", "method=ls", "dataset.train_size=40")
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("name: ls", "name: gone"))
    assert "dataset=qm9" in words_of(rerun_command(path))


def test_records_are_listed_by_the_command_that_says_so(capsys):
    begin("dataset=qm9", "method=ls", "paths.results='a b'")
    begin("dataset=qm9", "method=mgda", "paths.results='a b'")
    (_, *words) = shlex.split(status_command(find_records(Path("a b"))))
    assert main(words) == 0
    assert "2 interrupted, 1 missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", gate(1, ["table8", "table3", "table6", "weights"]))
@pytest.mark.parametrize("dataset", [None, "qm9"])
def test_a_table_without_runs_names_sweeps_that_can_be(name, dataset, capsys):
    chosen = [f"dataset={dataset}"] if dataset else []
    assert main(["tables", name, "seed=5", "profile=demo", 'paths.results="a,b"', *chosen]) == 0
    commands = re.findall("`(.*?)`", capsys.readouterr().out)
    assert len(commands) == len(getattr(find_experiments().get(name), "sweeps", (name,)))
    for command in commands:
        flag, *words = words_of(command)
        assert flag == "-m"
        cells = inspect_sweep(words)
        assert {cell.state for cell in cells} == {"missing"}
        assert all(Path(cell.path).match("a,b/demo/*/*/seed5-*") for cell in cells)
