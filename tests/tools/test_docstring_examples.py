"""The API reference shows the doctests of docstrings as code."""

import re

import pytest

from tests.end_to_end.processes import ROOT

griffe = pytest.importorskip("griffe")


def test_an_example_is_code(tmp_path):
    from tools.docstring_examples import DocstringExamples

    (tmp_path / "one.py").write_text(
        'def f():\n    """F.\n\n    Example:\n        >>> 1 + 1\n        2\n    """\n'
    )
    extensions = griffe.load_extensions(DocstringExamples())
    module = griffe.load("one", search_paths=[tmp_path], extensions=extensions)
    _, examples = module["f"].docstring.parse("google")
    assert examples.kind is griffe.DocstringSectionKind.examples
    assert examples.value == [(griffe.DocstringSectionKind.examples, ">>> 1 + 1\n2")]


def test_the_doctests_of_methods_have_a_heading():
    for path in (ROOT / "mtl_bench" / "methods").rglob("*.py"):
        assert not re.search(r"\n\n +>>> ", path.read_text(encoding="utf-8")), path
