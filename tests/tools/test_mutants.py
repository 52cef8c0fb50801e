"""The tool that breaks lines to see whether tests notice."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "tools" / "mutants.py"


@pytest.fixture(scope="module")
def mutants():
    spec = importlib.util.spec_from_file_location("mutants", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # for its NamedTuple
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mutants"]


CODE = '''"""Not this 1."""
from typing import Literal


def half(x: int | None, mode: Literal["up", "down"] = "up") -> float | None:
    """Return x + 1."""
    assert x != 2
    y = -x - (2 * x)  # é
    print(f"{x + 1}")
    if y < 0 and mode == "up":
        y += 1e-4
        y -= 1e300
        return None
    return y
'''

CHANGED = [
    ('"up") -> float', "'down') -> float"),
    ("-x - (2 * x)", "(-x + 2 * x)"),
    ("-x -", "(x) -"),
    ("(2 * x)", "((2 / x))"),
    ("(2 * x)", "(3 * x)"),
    ('print(f"{x + 1}")', "pass"),
    ('y < 0 and mode == "up"', "(y < 0 or mode == 'up')"),
    ("y < 0", "(y <= 0)"),
    ("< 0", "< 1"),
    ('mode == "up"', "(mode != 'up')"),
    ("y += 1e-4", "y -= 0.0001"),
    ("1e-4", "1.0001"),
    ("y -= 1e300", "y += 1e+300"),
    ("1e300", "2e+300"),
    ("return y", "return None"),
]


def test_what_runs_is_changed_and_nothing_else(mutants, tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "code.py"
    path.write_text(CODE)
    found = list(mutants.mutants_of(path))
    for mutant in found:
        compile(mutant.source, "mutant", "exec")
        lines = zip(CODE.splitlines(), mutant.source.splitlines(), strict=True)
        (changed,) = [(old.strip(), new.strip()) for old, new in lines if old != new]
        assert changed[0] == CODE.splitlines()[mutant.number - 1].strip()
    expected = [CODE.replace(old, new, 1) for old, new in CHANGED]
    assert sorted(mutant.source for mutant in found) == sorted(expected)


def test_equivalent_mutants_are_mutants(mutants):
    every = {
        mutant.key
        for path in {path for path, _, _ in mutants.equivalent()}
        for mutant in mutants.mutants_of(mutants.ROOT / path)
    }
    assert mutants.equivalent() <= every
