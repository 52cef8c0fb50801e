"""The examples in the public docstrings of methods, gradients, solvers and metrics are true."""

import doctest
import inspect
from importlib import import_module

import pytest

ROOMS = ("methods", "gradients", "solvers", "metrics")
EXPORTS = [
    f"{room}.{name}"
    for room in ROOMS
    for name in import_module(f"mtl_bench.{room}").__all__
    if inspect.isroutine(kind := getattr(import_module(f"mtl_bench.{room}"), name))
    or inspect.isclass(kind)
]
ASK_FOR_MORE = {
    "gradients.choose_backend",  # a network
    "gradients.Communicator",  # several processes
    "gradients.DistributedGradients",
}
"""What no example of a few lines shows, and why."""


@pytest.mark.parametrize("export", sorted({*EXPORTS} - ASK_FOR_MORE))
def test_the_example_of_a_public_name(export):
    room, name = export.split(".")
    kind = getattr(import_module(f"mtl_bench.{room}"), name)
    if "needs the extra torchjd" in inspect.getdoc(kind):
        pytest.importorskip("torchjd")
    (found,) = [test for test in doctest.DocTestFinder().find(kind, name) if test.name == name]
    assert found.examples, f"{export} has no example"
    result = doctest.DocTestRunner().run(found, clear_globs=True)
    assert result.failed == 0
