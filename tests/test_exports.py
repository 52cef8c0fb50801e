"""What a user imports is listed for completion and type checkers, and the lists are true."""

import ast
import inspect
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import mtl_bench
from mtl_bench.methods import Method

ROOT = Path(__file__).parents[1]
LAZY = ("methods", "architectures", "datasets")
PACKAGES = (*LAZY, "gradients", "metrics", "solvers")


@pytest.mark.parametrize("name", PACKAGES)
def test_everything_in_the_list_is_there_and_shown(name):
    package = import_module(f"mtl_bench.{name}")
    assert package.__all__
    for export in package.__all__:
        assert getattr(package, export) is not None
        assert export in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = package.Nothing


def names_imported(path):
    imports = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    ]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@pytest.mark.parametrize("name", LAZY)
def test_type_checkers_see_what_completion_shows(name):
    package = import_module(f"mtl_bench.{name}")
    assert names_imported(Path(package.__file__)) >= set(package.__all__)


def test_every_method_is_in_the_list():
    """A file of methods/ that defines a method of its name is one more name of ``__all__``."""
    folder = ROOT / "mtl_bench" / "methods"
    stems = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
    found = {"StepInfo"}
    for stem in stems:
        for kind in vars(import_module(f"mtl_bench.methods.{stem}")).values():
            if inspect.isclass(kind) and issubclass(kind, Method):
                found.add(kind.__name__)
        package = import_module(f"mtl_bench.methods.{stem}")
        found |= {name for name in getattr(package, "__all__", ()) if name.lower() == stem}
    assert set(mtl_bench.methods.__all__) == found


def test_the_package_exports_what_its_stub_says():
    stub = names_imported(ROOT / "mtl_bench" / "__init__.pyi")
    assert "*" in stub
    expected = (stub - {"*"}) | set(mtl_bench.methods.__all__) | {"__version__"}
    assert set(mtl_bench.__all__) == expected
    assert expected <= set(dir(mtl_bench))
    for name in expected:
        assert getattr(mtl_bench, name) is not None
    assert mtl_bench.MGDA is mtl_bench.methods.MGDA


SCRIPT = """
import torch
import mtl_bench.methods
from mtl_bench import NashMTL, TaskGradients, build_method

theta = torch.ones(2, requires_grad=True)
gradients = TaskGradients([theta[0].square(), theta[1].square()], [theta])
reveal_type(NashMTL(num_tasks=2, max_norm=None).step(gradients, epoch=1))
reveal_type(gradients.gram())
reveal_type(mtl_bench.methods.MGDA(2, scale="one"))
reveal_type(build_method("ls", 2))
NashMTL(num_task=2)
mtl_bench.methods.MDGA(2)
"""


def test_a_type_checker_finds_types(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(  # as `make lint` does, whose cache has torch
        [sys.executable, "-m", "mypy", script], cwd=ROOT, capture_output=True, text=True
    )
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert [line for line in lines if line.startswith("note: Revealed")] == [
        'note: Revealed type is "mtl_bench.methods.base.StepInfo"',
        'note: Revealed type is "torch._tensor.Tensor"',
        'note: Revealed type is "mtl_bench.methods.mgda.MGDA"',
        'note: Revealed type is "mtl_bench.methods.base.Method"',
    ]
    errors = [line for line in lines if line.startswith("error")]
    assert len(errors) == 2, done.stdout
    assert 'Unexpected keyword argument "num_task"' in errors[0]
    assert 'no attribute "MDGA"' in errors[1]


def test_no_two_classes_share_a_name():
    defined = Counter(
        node.name
        for folder in ("mtl_bench", "benchmarks", "tools")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in defined.items() if count > 1] == []
