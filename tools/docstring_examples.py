"""Extension of Griffe for the API reference: ``Example:`` is a section like ``Examples:``."""

from __future__ import annotations

import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Griffe knows the plural alone, and shows what is below the singular as prose."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401 - Griffe's own
        """Rewrite one heading before the docstring is parsed."""
        if obj.docstring:
            obj.docstring.value = re.sub("^Example:$", "Examples:", obj.docstring.value, flags=re.M)
