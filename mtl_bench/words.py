"""The KEY=VALUE words of a command."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from mtl_bench.errors import ConfigError

PLAIN = re.compile(r"[\w./-]*", re.ASCII)
"""Values that need no grammar."""

PLAIN_PATH = re.compile(r"(?!(?:null|true|false|nan|inf)$|\.\d)[a-z_/.][\w./-]*", re.ASCII | re.I)
"""Those of them that aren't numbers or constants, which no folder's name can be unless quoted."""

PLAIN_LIST = re.compile(r"[\w., -]*", re.ASCII)
LISTS = ("seed", "method", "only", "datasets", "methods")
"""Keys that take several values between commas."""

QUOTES = "quote values with special characters twice, as in 'paths.data=\"a=b\"'"


def parse_settings(words: Sequence[str], **defaults: str | None) -> dict[str, str | None]:
    """Return the settings of KEY=VALUE words over their defaults.

    Args:
        words: what was typed.
        defaults: every allowed key; two underscores in its name stand for a dot.

    Raises:
        ConfigError: a word that is no KEY=VALUE, has another key or a value that can't be read.
    """
    values = {key.replace("__", "."): value for key, value in defaults.items()}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in values:
            raise ConfigError(f"unknown setting {word}; allowed: {'=, '.join(values)}=")
        values[key] = _read_value(key, value)
    return values


def _read_value(key: str, text: str) -> str:
    """Return a value as ``mtl-bench train`` reads it: by the grammar of Hydra's overrides.

    Hydra is imported for the values alone that are more than a plain word.
    """
    plain = PLAIN_PATH if key.startswith("paths.") else PLAIN_LIST if key in LISTS else PLAIN
    if plain.fullmatch(text):
        return text
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
        if override.is_sweep_override():
            raise ConfigError(f"{key}={text}: must be one value; {QUOTES}")
        value = OmegaConf.create({"value": override.value()}).value
    except (HydraException, OmegaConfBaseException) as error:
        raise unreadable(f"{key}={text}") from error
    if isinstance(value, str) and (value or plain is not PLAIN_PATH):
        return value
    if plain is PLAIN_PATH:
        raise ConfigError(f"{key}={text}: must be a folder; {QUOTES}")
    return text


def unreadable(word: str) -> ConfigError:
    """Return the error of a word that is no KEY=VALUE in the grammar of overrides."""
    return ConfigError(f"can't read {word}: write KEY=VALUE, and {QUOTES}")


def parse_count(settings: Mapping[str, str | None], key: str) -> int:
    """Return a setting that must be a whole number from 1 on.

    Raises:
        ConfigError: it isn't.
    """
    value = str(settings[key])
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{key}={value}: must be a whole number from 1 on")
    return int(value)


def parse_positive(settings: Mapping[str, str | None], key: str) -> float:
    """Return a number above 0.

    Raises:
        ConfigError: it is none.
    """
    try:
        value = float(settings[key] or "")
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}={settings[key]}: must be a number above 0")
    return value


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
