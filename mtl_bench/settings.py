"""KEY=VALUE words of the commands that need no configuration."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_bench.errors import ConfigError


def parse_settings(words: Sequence[str], **defaults: str | None) -> dict[str, str | None]:
    """Return the values of KEY=VALUE words over defaults.

    Args:
        words: as typed.
        defaults: all keys that are allowed; two underscores stand for a dot.

    Raises:
        ConfigError: a word is no KEY=VALUE, or its key isn't allowed.
    """
    values = {key.replace("__", "."): value for key, value in defaults.items()}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in values:
            raise ConfigError(f"unknown setting {word}; allowed: {'=, '.join(values)}=")
        values[key] = value
    return values


def count(settings: dict[str, str | None], key: str) -> int:
    """Return a setting that is a count.

    Raises:
        ConfigError: it isn't.
    """
    value = str(settings[key])
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{key}={value}: must be a whole number from 1 on")
    return int(value)
