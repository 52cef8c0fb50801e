"""Constructors read as schemas."""

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


class Plain:
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


def test_unusable_annotations_are_named(schema):
    with pytest.raises(ConfigError, match="argument rate has no annotation"):
        schema("Untyped")
    with pytest.raises(ConfigError, match="annotation of rate uses Tensor"):
        schema("Strange")
