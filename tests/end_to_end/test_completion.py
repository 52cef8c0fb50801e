"""Completion, by the shells themselves."""

import shutil
import subprocess
import sys

import pytest

from mtl_bench.completion import complete
from mtl_bench.config.groups import GROUPS, find_choices
from mtl_bench.reporting.command import SETTINGS
from mtl_bench.reporting.cost_tables import COST_TABLES
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.figures.command import FIGURES
from mtl_bench.reporting.run_tables import find_run_tables
from mtl_bench.reporting.table import FORMATS
from tests.end_to_end.processes import ENVIRONMENT, call, call_without

ASK_BASH = """
eval "$(mtl-bench completion bash)"
COMP_LINE="$1" COMP_POINT=${#1}
_mtl_bench
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_ZSH = """
compdef() { }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; (( $# )) && print -rl -- "$@" }
eval "$(mtl-bench completion zsh)"
words=("${(@s: :)1}") CURRENT=${#words} PREFIX=${words[-1]}
_mtl_bench
"""


@pytest.fixture
def ask(tmp_path):
    """Return what a shell would complete a line with."""
    program = tmp_path / "mtl-bench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mtl_bench "$@"\n')
    program.chmod(0o755)
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"}

    def run(shell, line):
        if shutil.which(shell) is None:
            pytest.skip(f"needs {shell}")
        script = {"bash": ("bash", "--norc", "-c", ASK_BASH), "zsh": ("zsh", "-f", "-c", ASK_ZSH)}
        done = subprocess.run(
            [*script[shell], "_", line],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return run


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mtl-bench tab", ["tables"]),
        ("mtl-bench train dataset=qm9 meth", ["method="]),
        ("mtl-bench train profile=m", ["profile=mini"]),
        ("mtl-bench train -m method=ls,nas", ["method=ls,nashmtl"]),
        ("mtl-bench train method=cagrad method.resc", ["method.rescale="]),
        ("mtl-bench config --j", ["--json"]),
        ("mtl-bench data pre", ["prepare"]),
        ("mtl-bench data prepare qm", ["qm9"]),
        ("mtl-bench train nosuch", []),
    ],
)
def test_a_shell_completes(shell, line, expected, ask):
    if shell == "bash":  # replaces what stands behind the last =
        expected = [word[:-1].rpartition("=")[2] + word[-1:] for word in expected]
    assert ask(shell, line) == expected


def test_every_choice_of_every_group_is_offered():
    for group in GROUPS.values():
        assert complete(f"mtl-bench train {group}=") == sorted(
            f"{group}={name}" for name in find_choices(group)
        )


def test_settings_that_are_offered_are_accepted(tmp_path):
    for command in ("tables weights", "figures", "status"):
        offered = [word for word in complete(f"mtl-bench {command} ") if word.endswith("=")]
        values = [complete(f"mtl-bench {command} {word}") for word in offered]
        usual = ["seed=0" if word == "seed=" else f"{word}x" for word in offered]
        words = [own[0] if own else word for word, own in zip(usual, values, strict=True)]
        done = call(*command.split(), *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_tables_and_figures_are_offered_as_they_are_taken():
    names = {
        "tables": {*find_experiments(), *COST_TABLES, *find_run_tables()},
        "figures": set(FIGURES),
    }
    for command, taken in names.items():
        offered = complete(f"mtl-bench {command} ")
        assert {word for word in offered if not word.endswith("=")} == taken
    offered = {word for word in complete("mtl-bench tables ") if word.endswith("=")}
    assert offered == {f"{key.replace('__', '.')}=" for key in SETTINGS}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tables selection=la", ["selection=last", "selection=last_k_mean"]),
        ("tables baseline=", ["baseline=own", "baseline=published"]),
        ("tables format=", [f"format={form}" for form in sorted(FORMATS)]),
        ("figures selection=b", ["selection=best_val"]),
        ("figures format=", []),
    ],
)
def test_values_of_reports_are_offered(line, expected):
    assert complete(f"mtl-bench {line}") == expected


def test_completion_is_light(tmp_path):
    heavy = ["torch", "hydra", "pydantic", "numpy", "omegaconf"]
    for line, word in (("train method=l", "method=ls"), ("tables against_l", "against_ls")):
        done = call_without(heavy, "completion", "words", f"mtl-bench {line}", cwd=tmp_path)
        assert done.stdout.splitlines() == [word, "[] 0"]
