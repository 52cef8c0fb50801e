"""Constructors as schemas."""

import sys

import pytest
from pydantic import ValidationError

from mtl_bench.config.signatures import import_class, schema_of
from mtl_bench.errors import ConfigError

MODULE = """
from __future__ import annotations
import dataclasses
import functools
from typing import TYPE_CHECKING, Annotated, Any, Literal
from torch import Tensor, nn
from mtl_bench.values import Fraction, PositiveInt
from mtl_bench.values import NonNegative as Rate

if TYPE_CHECKING:
    from nowhere import Batch

Kind = Literal["a", "b"]


class Parent:
    def __init__(self, given: Batch, *, rate: Fraction = 0.5, kind: Kind) -> None:
        pass


class Child(Parent):
    pass


class Plain(object):
    pass


class Keywords(Parent):
    def __init__(self, given: Batch, extra: PositiveInt = 2, *, rate: Fraction, **rest: Any):
        pass


class Mixin:
    def __init__(self, *rest: Any, step: Rate = 1.0, **named: Any) -> None:
        super().__init__(*rest, **named)


class Mixed(Mixin, Parent):
    pass


class Layer(nn.Module):
    pass


@dataclasses.dataclass
class Record:
    rate: Fraction = 0.5
    sizes: list[PositiveInt] = dataclasses.field(default_factory=list)


class Wrapped:
    @functools.cache
    def __init__(self, rate: Fraction = 0.5) -> None:
        pass


class Untyped:
    def __init__(self, rate=0.5) -> None:
        pass


class Strange:
    def __init__(self, rate: Tensor) -> None:
        pass


class Unknown:
    def __init__(self, rate: Batch) -> None:
        pass
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of modules; those that were imported from it are forgotten."""
    (tmp_path / "sample_module.py").write_text(MODULE)
    (tmp_path / "sample_child.py").write_text(
        "from mtl_bench.values import Name\nimport sample_module\n"
        "class Grandchild(sample_module.Parent):\n"
        "    def __init__(self, label: Name, **rest): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("sample_")]:
        del sys.modules[name]


@pytest.fixture
def schema(site):
    return lambda name, module="sample_module", among=None: schema_of(
        import_class(f"{module}.{name}"), frozenset({"given"}), among
    )


def test_names_defaults_and_ranges_are_the_constructors(schema):
    model = schema("Parent")
    assert set(model.model_fields) == {"rate", "kind"}
    assert not model.model_fields["rate"].is_required()
    model.model_validate({"kind": "a", "rate": 1})
    for bad in ({"kind": "c"}, {"kind": "a", "rate": 2}, {"rate": 0.5}, {"kind": "a", "x": 1}):
        with pytest.raises(ValidationError):
            model.model_validate(bad)


@pytest.mark.parametrize(
    ("name", "module", "fields"),
    [
        ("Child", "sample_module", {"rate", "kind"}),
        ("Plain", "sample_module", set()),
        ("Layer", "sample_module", set()),
        ("Keywords", "sample_module", {"extra", "rate", "kind"}),
        ("Mixed", "sample_module", {"step", "rate", "kind"}),
        ("Grandchild", "sample_child", {"label", "rate", "kind"}),
        ("Record", "sample_module", {"rate", "sizes"}),
        ("Wrapped", "sample_module", {"rate"}),
    ],
)
def test_arguments_are_those_that_the_class_takes(schema, name, module, fields):
    """Keywords stand for the arguments of the next class; a generated constructor is one too."""
    assert set(schema(name, module).model_fields) == fields


def test_the_childs_argument_hides_the_parents(schema):
    fields = schema("Keywords").model_fields
    assert fields["rate"].is_required()
    assert not fields["extra"].is_required()


def test_some_arguments_alone(schema):
    assert set(schema("Keywords", among=frozenset({"rate", "given", "x"})).model_fields) == {"rate"}


@pytest.mark.parametrize(
    ("name", "needle"),
    [
        ("Untyped", "sample_module.Untyped: argument rate has no annotation"),
        ("Strange", "sample_module.Strange: no value can be checked against .* of rate, Tensor;"),
        ("Unknown", "sample_module.Unknown: no value can be checked against .* of rate, Batch;"),
    ],
)
def test_unusable_annotations_are_named(schema, name, needle):
    with pytest.raises(ConfigError, match=needle):
        schema(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", r"can't import sample_bad \(ModuleNotFoundError: No module .*nowhere'"),
        ("1 / 0", r"can't import sample_bad \(ZeroDivisionError: division by zero\)"),
        ("raise ValueError('two\\nlines')", r"can't import sample_bad \(ValueError: two lines\)"),
        ("x = 1\nclass X(:", r"sample_bad\.py, line 2: invalid syntax"),
        ("from sample_module import Parent as X", "module sample_bad defines no class X"),
        ("def X(): pass", "module sample_bad defines no class X"),
        ("", "module sample_bad defines no class X"),
    ],
)
def test_a_module_that_will_not_do_is_one_line(site, text, message):
    (site / "sample_bad.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as info:
        import_class("sample_bad.X")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    "target", ["sample_nowhere.X", "sample_module.Parent.X", "sample_module.nothing.X"]
)
def test_a_module_that_is_not_there_is_named(site, target):
    with pytest.raises(ConfigError, match=f"there is no module {target.rpartition('.')[0]}$"):
        import_class(target)
