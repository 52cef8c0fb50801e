"""Which overrides make a recorded run again, or another method's run beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mtl_bench.config.identity import NEUTRAL, settings_of
from mtl_bench.errors import ConfigError

CHOICES = ("architecture", "protocol")
"""Groups whose choice the data set makes, unless it is overridden."""

GIVEN = ("._target_", ".name")
"""Ends of keys whose values follow from the choices."""


def find_overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return in what settings differ from those that their choices alone would bring.

    The choices are data set, profile and method. Keys that the method has of its own come too.

    Args:
        settings: of a record, as ``settings_of`` returns them.
    """
    method, dataset, profile = (settings.get(f"{g}.name") for g in ("method", "dataset", "profile"))
    words = (f"method={method}", f"dataset={dataset}", f"profile={profile}")
    try:
        usual = _compose(words)
        chosen = {
            group: name
            for group in CHOICES
            if (name := settings.get(f"{group}.name")) not in (None, usual[f"{group}.name"])
        }
        usual = _compose((*words, *(f"{group}={name}" for group, name in chosen.items())))
    except ConfigError:  # of another version, or of a package that is not installed here
        return {}
    own = NEUTRAL | dict(settings)
    return chosen | {
        key: own[key]
        for key in sorted(usual)
        if key in own and own[key] != usual[key] and not key.endswith(GIVEN)
    }


@cache
def _compose(words: tuple[str, ...]) -> dict[str, Any]:
    from mtl_bench.config.compose import resolve_config  # few messages pay for Hydra

    return NEUTRAL | settings_of(resolve_config(words))
