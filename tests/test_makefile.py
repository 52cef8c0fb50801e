"""What `make` installs and types for a table, with stand-ins for the programs of .venv."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from mtl_bench.launch.sweep import plan_sweep

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = '#!/bin/sh\necho "$(basename "$0") $*" >> typed\ncase "$*" in *--dry-run*) exit 1; esac\n'

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def desk(tmp_path):
    """A checkout whose .venv has the package, and notes what it is asked for."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/slurm_table2.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("data/qm9/manifest.json", ".venv/.ready"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin").mkdir()
    for name in ("python", "mtl-bench"):
        program = tmp_path / ".venv" / "bin" / name
        program.write_text(PROGRAM)
        program.chmod(0o755)
    return tmp_path


def typed(desk, *words, **environment):
    """Run a command to its end and return the lines that the stand-ins noted."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "LAUNCHER"}
    done = subprocess.run(
        words, cwd=desk, env=kept | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = (desk / "typed").read_text().splitlines()
    (desk / "typed").unlink()
    return lines


def test_every_launcher_has_what_it_needs_installed_once(desk):
    first = typed(desk, "make", "table2-qm9")
    assert next(line for line in first if "pip" in line).endswith("--editable .[qm9,vision,report]")
    second = typed(desk, "make", "table2-qm9", "LAUNCHER=slurm")
    assert [line.split()[-1] for line in second if "pip" in line] == [".[slurm]"]
    for launcher in ("slurm", "local", "processes"):
        again = typed(desk, "make", "table2-qm9", f"LAUNCHER={launcher}")
        assert not any("pip" in line for line in again)


def test_after_the_demo_figures_can_be_drawn(desk):
    (desk / ".venv" / ".ready").unlink()
    newest, install = (line for line in typed(desk, "make", "demo") if "pip" in line)
    assert newest.endswith(" --upgrade pip")
    extras = re.search(r"\[([\w,]+)\]$", install)[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [name for extra in extras for name in project["optional-dependencies"][extra]]
    assert any(name.startswith("matplotlib") for name in needed)


@pytest.mark.parametrize(
    ("words", "launched"),
    [
        ((), "hydra/launcher=basic"),
        (("JOBS=2",), "hydra/launcher=processes hydra.launcher.n_jobs=2"),
        (("JOBS=3", "LAUNCHER=local"), "submitit_local hydra.sweeper.max_batch_size=3"),
        (
            ("JOBS=4", "LAUNCHER=slurm", "SLURM=hydra.launcher.partition=gpu"),
            "submitit_slurm hydra.launcher.array_parallelism=4 hydra.launcher.partition=gpu",
        ),
    ],
    ids=["one", "two", "local", "slurm"],
)
def test_the_number_of_jobs_reaches_the_launcher(words, launched, desk):
    dry, train = (line for line in typed(desk, "make", "table2-qm9", *words) if " train " in line)
    assert "--dry-run" in dry
    assert "launcher" not in dry
    assert train.endswith(launched)


def test_the_demo_ends_with_a_table_and_with_what_to_type_next(desk):
    """Single-task networks take longest and come last."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(["make", "demo"], cwd=desk, env=kept, capture_output=True, text=True)
    train, tables = (desk / "typed").read_text().splitlines()
    assert train.endswith("hydra/launcher=processes hydra.launcher.n_jobs=2")
    cells = plan_sweep(train.split()[2:]).cells
    assert [cell[0] for cell in cells] == ["method=ls", "method=taskforce", "method=stl"]
    assert tables.endswith("tables profile=demo paths.results=demo")
    shown = done.stdout.splitlines()
    first, *then = [line.strip() for line in shown[shown.index("next:") + 1 :]]
    assert first == ". .venv/bin/activate"
    assert all(line.startswith("mtl-bench ") for line in then)
    profiles = {word for line in then for word in line.split() if word.startswith("profile=")}
    assert profiles == {"profile=demo"}


def test_the_pendulums_are_trained_two_at_a_time_and_shown(desk):
    train, tables = typed(desk, "make", "pendulum6")
    assert train.endswith("hydra/launcher=processes hydra.launcher.n_jobs=2")
    assert tables.endswith("tables profile=mini dataset=pendulum6 paths.results=demo")
    assert len(plan_sweep(train.split()[2:-2]).cells) == 12
    (train, _) = typed(desk, "make", "pendulum6", "JOBS=1")
    assert train.endswith("hydra/launcher=basic")


def test_two_digits_are_trained_without_a_download(desk):
    lines = typed(desk, "make", "multimnist", "PROFILE=mini", "SEEDS=0,1,2")
    assert [line.split()[-1] for line in lines if "pip" in line] == [
        ".[qm9,vision,report]",
        ".[digits]",
    ]
    dry, train, tables = (line for line in lines if line.startswith("mtl-bench"))
    assert "--dry-run" in dry
    assert train.endswith("hydra/launcher=processes hydra.launcher.n_jobs=2")
    assert len(plan_sweep(train.split()[3:-2]).cells) == 10 * 3
    assert tables.startswith("mtl-bench tables multimnist ")
    lines = typed(desk, "make", "multimnist", "PROFILE=paper")
    assert "mtl-bench data prepare multimnist" in lines


@pytest.mark.parametrize(
    ("target", "dataset", "runs"),
    [
        ("pcgrad-table1", "nyuv2", 8),
        ("pcgrad-table2", "cifar100", 7),
        ("pcgrad-table3", "celeba", 3),
    ],
)
def test_the_tables_of_pcgrad_have_their_data_drawn(target, dataset, runs, desk):
    lines = typed(desk, "make", target)
    assert f"mtl-bench data synth {dataset}" in lines
    train = next(line for line in lines if " train " in line and "--dry-run" not in line)
    assert len(plan_sweep(train.split()[3:-1]).cells) == runs


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("paco-table1", 9),
        ("paco-table2", 3),
        ("paco-table3", 6),
        ("pcgrad-figure3", 7),
        ("dgrad-figure4", 5),
    ],
)
def test_systems_are_trained_on_pendulums_unless_a_data_set_is_named(target, runs, desk):
    name = target.replace("-", "_")
    _, train, *shown = (line for line in typed(desk, "make", target) if "mtl-bench" in line)
    assert f"experiment={name} dataset=pendulum6 " in train
    assert "protocol=" not in train
    assert len(plan_sweep(train.split()[3:-1]).cells) == runs
    words = (f"tables {name} ", *(["figures score "] if "figure" in name else []))
    for line, word in zip(shown, words, strict=True):
        assert line.startswith(f"mtl-bench {word}")
    assert all("dataset=pendulum6 profile=mini" in line for line in shown)

    lines = typed(desk, "make", target, "DATASET=mt10", "PROFILE=paper", "SEEDS=0,1", "JOBS=2")
    assert [line.split()[-1] for line in lines if "pip" in line] == [".[rl]"]
    train = next(line for line in lines if " train " in line and "--dry-run" not in line)
    protocol = {"paco": "paco"}.get(name.split("_")[0], "pcgrad")
    assert f"dataset=mt10 protocol={protocol} " in train
    assert "hydra.launcher.n_jobs=2" in train


def test_the_tragic_triad_has_tasks_of_its_own_and_is_drawn(desk):
    lines = typed(desk, "make", "pcgrad-figure4", "SEEDS=0,1,2")
    assert ".[rl]" in next(reversed([line for line in lines if "pip" in line]))
    train, table, figure = lines[-3:]
    assert len(plan_sweep(train.split()[3:-1]).cells) == 2 * 2 * 3
    assert "tables pcgrad_figure4 " in table
    assert "figures triad dataset=metaworld " in figure


def test_an_unknown_launcher_is_named(desk):
    done = subprocess.run(
        ["make", "table2-qm9", "LAUNCHER=joblib"], cwd=desk, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "LAUNCHER=joblib: give basic, processes, slurm or local" in done.stderr


@pytest.mark.parametrize("launcher", ["slurm", "local"])
def test_the_script_of_the_cluster_gives_what_the_launcher_knows(launcher, desk):
    """A partition is Slurm's alone."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    *_, train = (
        line
        for line in typed(desk, "sh", "scripts/slurm_table2.sh", LAUNCHER=launcher)
        if " train " in line
    )
    assert f"hydra/launcher=submitit_{launcher} " in train
    assert ("partition=gpu" in train) == (launcher == "slurm")
    limit = {"slurm": "array_parallelism", "local": "max_batch_size"}[launcher]
    assert f"{limit}=16 " in train
    assert len(plan_sweep([*train.split()[3:], "method=ls", "seed=0"]).cells) == 1
