"""Constructors read as schemas."""

import sys

import pytest
from pydantic import ValidationError

from mtl_bench.config.signatures import schema_of
from mtl_bench.errors import ConfigError

MODULE = """
from __future__ import annotations
from typing import Annotated, Literal
from mtl_bench.values import Fraction, Ge, Name, PositiveInt
raise RuntimeError("a schema must not execute the module")


class Parent:
    def __init__(self, given: object, *, rate: Fraction = 0.5, kind: Literal["a", "b"]) -> None:
        pass


class Child(Parent):
    pass


class Plain(object):
    pass


class Keywords(Parent):
    def __init__(self, given: object, extra: PositiveInt = 2, *, rate: Fraction, **rest) -> None:
        pass


class Lost(nowhere.Base):
    pass


class Mixed(Plain, nowhere.Base, Parent):
    pass


class Untyped:
    def __init__(self, rate=0.5) -> None:
        pass


class Strange:
    def __init__(self, rate: Tensor) -> None:
        pass
"""


@pytest.fixture
def schema(tmp_path, monkeypatch):
    (tmp_path / "sample_module.py").write_text(MODULE)
    (tmp_path / "sample_child.py").write_text(
        "from sample_module import Parent as Base\nclass Grandchild(Base): pass\n"
        "from sample_module import Base as Elsewhere\nclass Imported(Elsewhere): pass\n"
    )
    (tmp_path / "sample_package" / "inner").mkdir(parents=True)
    (tmp_path / "sample_package" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "sample_package" / "parent.py").write_text(MODULE)
    (tmp_path / "sample_package" / "inner" / "__init__.py").write_text(
        "from ..parent import Parent\nclass Outer(Parent): pass\n"
    )
    (tmp_path / "sample_package" / "inner" / "child.py").write_text(
        "from . import Outer\nclass Child(Outer): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name, module="sample_module": schema_of(f"{module}.{name}", frozenset({"given"}))


def test_names_defaults_and_ranges_are_read_without_importing(schema):
    model = schema("Parent")
    assert set(model.model_fields) == {"rate", "kind"}
    assert not model.model_fields["rate"].is_required()
    model.model_validate({"kind": "a", "rate": 1})
    for bad in ({"kind": "c"}, {"kind": "a", "rate": 2}, {"rate": 0.5}, {"kind": "a", "x": 1}):
        with pytest.raises(ValidationError):
            model.model_validate(bad)


def test_a_class_without_a_constructor_has_its_parents(schema):
    assert set(schema("Grandchild", "sample_child").model_fields) == {"rate", "kind"}
    assert set(schema("Child").model_fields) == {"rate", "kind"}
    assert not schema("Plain").model_fields
    assert set(schema("Mixed").model_fields) == {"rate", "kind"}


def test_keywords_stand_for_the_parents_arguments(schema):
    fields = schema("Keywords").model_fields
    assert set(fields) == {"extra", "rate", "kind"}
    assert fields["rate"].is_required()


@pytest.mark.parametrize(
    "module", ["sample_package.inner.child.Child", "sample_package.inner.Outer"]
)
def test_bases_are_followed_within_a_package_without_importing_it(schema, module):
    module, _, name = module.rpartition(".")
    assert set(schema(name, module).model_fields) == {"rate", "kind"}
    assert "sample_package" not in sys.modules


@pytest.mark.parametrize(
    ("name", "module", "base"),
    [("Lost", "sample_module", "nowhere.Base"), ("Imported", "sample_child", "Elsewhere")],
)
def test_a_base_that_can_not_be_followed_is_named(schema, name, module, base):
    with pytest.raises(ConfigError, match=rf"{module}\.{name}: .* base class {base} isn't found"):
        schema(name, module)


def test_unusable_annotations_are_named(schema):
    with pytest.raises(ConfigError, match="argument rate has no annotation"):
        schema("Untyped")
    with pytest.raises(ConfigError, match="annotation of rate uses Tensor"):
        schema("Strange")
