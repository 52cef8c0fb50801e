"""What docs/adding.md shows, done: its files in a package elsewhere, and its commands."""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.added import announce, write_files
from tests.end_to_end.processes import (
    ENVIRONMENT,
    ROOT,
    call,
    call_without,
    end_of,
    make_desk,
    results_of,
    start,
    wait_for_epochs,
)

PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^mtl-bench .*$", PAGE, re.MULTILINE)]
TINY_QM9 = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")
WAVES = ("train", "dataset=waves", "method=magnitude")


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    """A folder to type commands in; the page's package lies elsewhere and is installed."""
    project = tmp_path_factory.mktemp("mymethods")
    write_files(project, FILES | {"mymethods/__init__.py": ""})
    settings = tomllib.loads(FILES["pyproject.toml"])["project"]
    points = settings["entry-points"]["mtl_bench.configs"]
    announce(project / "site", settings["name"], settings["version"], points)
    return make_desk(tmp_path_factory, tiny_data), project


@pytest.fixture(scope="module")
def environment(desk):
    _, project = desk
    path = os.pathsep.join(map(str, (ROOT, project, project / "site")))
    return ENVIRONMENT | {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def typed(desk, environment):
    """Every command of the page, in its order; the words -> what was printed."""
    folder, _ = desk
    outputs = {}
    for words in COMMANDS:
        sizes = (*TINY_QM9, "trainer.epochs=2") if "dataset=qm9" in words else ()
        sizes = sizes if words[0] == "train" else ()
        done = call(*words, *sizes, cwd=folder, environment=environment)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        outputs[" ".join(words)] = done.stdout
    return outputs


def record_of(folder, *parts):
    (record,) = folder.joinpath("results", *parts).glob("seed0-*")
    return record


def test_the_page_shows_what_it_says_it_does():
    assert {name.rpartition(".")[2] for name in FILES} == {"toml", "py", "yaml", "csv"}
    for group in ("method", "dataset", "architecture", "protocol", "experiment"):
        assert any(f"/configs/{group}/" in name for name in FILES), group
    assert {words[0] for words in COMMANDS} == {"list", "train", "tables"}


def test_list_has_the_new_method_with_its_line(typed):
    lines = dict(line.split(maxsplit=1) for line in typed["list methods"].splitlines())
    description = FILES["mymethods/configs/method/magnitude.yaml"].splitlines()[0]
    assert lines["magnitude"] == description.partition(": ")[2]
    assert {"ls", "taskforce"} <= set(lines)


def test_the_tables_have_it_beside_ours(typed):
    assert re.search(r"\| +ls¹? \| +magnitude¹? \|", typed["tables profile=smoke"])
    waves = typed["tables profile=smoke dataset=waves"]
    for word in ("stl", "ls", "taskforce", "magnitude", "sine", "cosine"):
        assert re.search(rf"\| +{word}\b", waves), word


def test_a_data_set_without_published_values_is_trained_selected_and_compared(typed, desk):
    said = typed["train dataset=waves method=magnitude profile=smoke"]
    assert (
        "there is no Δm, since no metric has a published single-task value; the validation loss "
        "decides for sine, cosine\n"
    ) in said
    record = record_of(desk[0], "smoke", "waves", "magnitude")
    lines = [json.loads(line) for line in (record / "metrics.jsonl").read_text().splitlines()]
    means = {line["epoch"]: sum(line["validation_loss"].values()) / 2 for line in lines}
    best = min(means, key=lambda epoch: (means[epoch], -epoch))
    assert f"validation loss {means[best]:#.3g} (best)" in said
    summary = json.loads((record / "summary.json").read_text())
    assert summary["selected_epochs"]["best_val"] == {"sine": best, "cosine": best}
    table = typed["tables profile=smoke dataset=waves"]
    assert re.search(r"\| +Δm \[%\] ↓ +\|", table)
    assert re.search(r"\| +[+-]\d+\.\d\d", table)  # a table of few columns is not turned round


def test_one_yaml_and_one_csv_are_a_table(typed, desk, environment):
    text = typed["tables waves_table profile=smoke"]
    assert text.startswith("## Table 5: smoke / waves, beside the paper's numbers for waves with a")
    assert "The paper doesn't say how many epochs it trains." in text
    words = ("tables", "waves_table", "profile=smoke", "format=csv")
    done = call(*words, cwd=desk[0], environment=environment)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    printed = {row["row"]: (row["n"], float(row["paper Δm"])) for row in rows}
    names = ("STL", "LS", "Magnitude balance")
    assert printed == dict(zip(names, [("2", 0.0), ("2", 1.25), ("2", -2.5)], strict=True))


def test_the_record_says_whose_code_it_ran(typed, desk):
    record = record_of(desk[0], "smoke", "qm9", "magnitude")
    section = yaml.safe_load((record / "config.yaml").read_text())["method"]
    assert section == {
        "_target_": "mymethods.magnitude.MagnitudeBalance",
        "head_weighting": "weighted",
        "decay": 0.9,
        "name": "magnitude",
    }
    added = json.loads((record / "environment.json").read_text())["added"]
    assert added == {"mymethods": {"distribution": "mymethods", "version": "0.1.0", "git": None}}
    ours = record_of(desk[0], "smoke", "qm9", "ls")
    assert json.loads((ours / "environment.json").read_text())["added"] == {}


def test_the_protocol_of_ones_own_takes_the_rest_from_ours(typed, desk):
    record = record_of(desk[0], "smoke", "waves", "cagrad")
    config = yaml.safe_load((record / "config.yaml").read_text())
    assert config["protocol"]["name"] == "careful"
    assert (config["protocol"]["selection"], config["method"]["c"]) == ("last", 0.2)
    assert config["method"]["rescale"] == 1


def test_typed_again_it_is_done(typed, desk, environment):
    done = call(*WAVES, "profile=smoke", cwd=desk[0], environment=environment)
    record = record_of(desk[0], "smoke", "waves", "magnitude").relative_to(desk[0])
    assert (done.stdout, done.returncode) == (f"already finished: {record}\n", 0)


def test_showing_what_there_is_does_not_import_it(typed, desk, environment):
    """A table reads configurations by Hydra to advise a command, and imports no class for it."""
    for words in (("list", "methods"), ("status", "profile=smoke"), ("tables", "profile=smoke")):
        modules = ["torch", "mymethods", *(["hydra"] if words[0] != "tables" else [])]
        done = call_without(modules, *words, cwd=desk[0], environment=environment)
        assert "magnitude" in done.stdout
        assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.nightly
def test_killed_half_way_the_same_command_ends_with_the_same_bits(desk, environment):
    folder, _ = desk
    words = (*WAVES, "profile=paper", "seed=3", "trainer.epochs=20")
    whole = call(*words, "paths.results=whole", cwd=folder, environment=environment)
    assert whole.returncode == 0, whole.stderr
    process = start(*words, "paths.results=killed", cwd=folder, environment=environment)
    record = wait_for_epochs(process, folder / "killed", 2)
    end_of(process, signal.SIGKILL)
    assert not (record / "DONE").exists()
    done = call(*words, "paths.results=killed", cwd=folder, environment=environment)
    assert done.returncode == 0, done.stderr
    assert results_of(record) == results_of(
        folder / "whole" / record.relative_to(folder / "killed")
    )


@pytest.mark.nightly
def test_a_sweep_finds_it_by_pattern_and_in_its_workers(desk, environment):
    words = ("train", "-m", "dataset=waves", "method=glob(mag*)", "profile=smoke", "seed=0,1")
    launcher = ("hydra/launcher=processes", "hydra.launcher.n_jobs=2", "paths.results=swept")
    done = call(*words, *launcher, cwd=desk[0], environment=environment)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are finished" in done.stdout
    records = (desk[0] / "swept" / "smoke" / "waves" / "magnitude").glob("seed*/environment.json")
    versions = [json.loads(path.read_text())["added"]["mymethods"]["version"] for path in records]
    assert versions == ["0.1.0", "0.1.0"]


@pytest.mark.nightly
def test_the_pages_own_tests_pass(desk, environment):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests"],
        cwd=desk[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout


def test_the_mistake_of_the_page_is_what_it_prints(desk, environment):
    ((command, answer),) = re.findall(r"^\$ mtl-bench (.*)\n(mtl-bench: .*)$", PAGE, re.MULTILINE)
    done = call(*command.split(), cwd=desk[0], environment=environment)
    assert done.stderr.splitlines() == [answer]
    assert (done.stdout, done.returncode) == ("", 2)


def test_a_command_line_cannot_name_other_code(desk, environment):
    for method in ("magnitude", "ls"):
        words = ("dataset=waves", "profile=smoke", f"method={method}", "method._target_=os.system")
        done = call("train", *words, cwd=desk[0], environment=environment)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"method={method} is a name for" in line
