"""The KEY=VALUE words of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl_bench.errors import ConfigError


def parse_settings(words: Sequence[str], **defaults: str | None) -> dict[str, str | None]:
    """Return the settings of KEY=VALUE words over their defaults.

    Args:
        words: what was typed.
        defaults: every allowed key; two underscores in its name stand for a dot.

    Raises:
        ConfigError: a word that is no KEY=VALUE, or has another key.
    """
    values = {key.replace("__", "."): value for key, value in defaults.items()}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in values:
            raise ConfigError(f"unknown setting {word}; allowed: {'=, '.join(values)}=")
        values[key] = value
    return values


def parse_count(settings: Mapping[str, str | None], key: str) -> int:
    """Return a setting that must be a whole number from 1 on.

    Raises:
        ConfigError: it isn't.
    """
    value = str(settings[key])
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{key}={value}: must be a whole number from 1 on")
    return int(value)


def require_choice(settings: Mapping[str, str | None], key: str, allowed: Sequence[str]) -> None:
    """Check a setting that has one of a few values, where it has one.

    Raises:
        ConfigError: it has another.
    """
    if settings[key] is not None and settings[key] not in allowed:
        raise ConfigError(f"{key}={settings[key]}: must be one of {', '.join(allowed)}")


def parse_list(value: str | None) -> list[str]:
    """Return the words between commas, none of an empty or missing value."""
    return [word.strip() for word in (value or "").split(",") if word.strip()]


def parse_seeds(value: str | None) -> list[int]:
    """Return the seeds of a setting such as ``0,1,2``.

    Raises:
        ConfigError: not whole numbers.
    """
    words = parse_list(value)
    if not all(word.isdecimal() for word in words):
        raise ConfigError(f"seed={value}: must be whole numbers, such as seed=0,1,2")
    return [int(word) for word in words]
