"""The measurement of growth, at tiny sizes."""

import json
import sys

import pytest

from benchmarks import growth
from benchmarks.__main__ import main

STEPS = {"tasks": ("ls", "graddrop"), "parameters": ("ls", "nashmtl", growth.QUARTERS)}
JACOBIAN_BYTES = 4 * 4 * 1_000_000


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setattr(growth, "STEPS", STEPS)
    monkeypatch.setattr(growth, "TASKS", (1, 3))
    monkeypatch.setattr(growth, "FIXED_TASKS", 4)
    monkeypatch.setattr(growth, "FIXED_PARAMETERS", 2_000)
    monkeypatch.setattr(growth, "PARAMETERS", (1_000_000,))
    monkeypatch.setattr(growth, "ONE_ROUND", 1_000_000)
    monkeypatch.setattr(growth, "RECORDS", (4,))
    monkeypatch.setattr(growth, "PROCESSES", (1,))


@pytest.mark.nightly
@pytest.mark.usefixtures("_tiny")
def test_steps_are_measured_and_drawn(capsys, tmp_path):
    words = ["only=tasks,parameters", "rounds=1", f"paths.figures={tmp_path}"]
    assert main(["growth", "--json", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parts"].keys() == {"tasks", "parameters"}
    for part, costs in result["parts"].items():
        assert costs.keys() == set(STEPS[part])
    assert result["parts"]["tasks"]["graddrop"].keys() == {"1", "3"}
    assert max(result["gram_differences"].values()) < 1e-6
    assert "| tasks | 1 | 3 |\n|---|---|---|\n| ls | " in growth.render(result)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    if sys.platform == "linux":
        by_name = result["parts"]["parameters"]
        added = {name: own["1000000"]["peak_bytes"] for name, own in by_name.items()}
        assert added["nashmtl"] > JACOBIAN_BYTES > added[growth.QUARTERS] > added["ls"]


@pytest.mark.usefixtures("_tiny")
def test_commands_are_measured(capsys, monkeypatch):
    monkeypatch.setattr(growth, "COMMANDS", ("status",))
    assert main(["growth", "--json", "only=records"]) == 0
    ((name, own),) = json.loads(capsys.readouterr().out)["parts"]["records"].items()
    assert name == "status"
    assert own["4"]["cpu_seconds"] > 0
    assert 5e6 < own["4"]["peak_bytes"] < 200e6  # without torch


@pytest.mark.nightly
@pytest.mark.usefixtures("_tiny")
def test_processes_are_measured(capsys, tiny_data, monkeypatch):
    monkeypatch.setattr(growth, "UPDATES", ("ls",))
    assert main(["growth", "--json", "only=processes", "rounds=1", f"paths.data={tiny_data}"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parts"]["processes"]["ls"]["1"]["cpu_seconds"] > 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["growth", "only=ranks"], "only=ranks: no such part; there are processes, tasks, "),
        (["growth", "only=processes", "paths.data=nowhere"], "qm9"),
        (["solvers", "paths.figures=x"], "paths.figures=x: solvers draws no picture"),
    ],
)
def test_what_can_not_be_measured_is_told(capsys, words, problem):
    assert main(words) != 0
    assert problem in capsys.readouterr().err
