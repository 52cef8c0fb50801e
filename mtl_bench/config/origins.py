"""Where every value of a configuration comes from: a file of configs or the command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml  # type: ignore[import-untyped]
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf

from mtl_bench.advice import setting
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import GROUPS, PACKAGE, find_choices, find_sources
from mtl_bench.config.objects import BUILT_WITH, FILES_OWN
from mtl_bench.config.search import open_hydra

TYPED = "command line"

LOOKED_UP = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)\}")
"""An interpolation, and the key that it looks up."""

WITHIN = re.compile(r"(\$\{[^{}]*)\$\{(\w+)\.(\w+)\}")
"""One within another, whose value is a part of the key."""


class OriginatedValue(NamedTuple):
    """A value of a configuration.

    Args:
        word: sets it on a command line; None for what only the file of a choice can set.
        key: dotted, the group itself for a choice.
        value: plain.
        origin: the file or the command line, and through which key where it was looked up.
    """

    word: str | None
    key: str
    value: Any
    origin: str

    @property
    def line(self) -> str:
        """The word, quoted for a shell, and the origin as a comment behind it."""
        text = f"# {self.key}: {self.value}" if self.word is None else shlex.quote(self.word)
        return f"{text:<44}  # {self.origin}"


def print_config(overrides: Sequence[str], form: str | None) -> None:
    """Print the configuration of a run.

    Args:
        overrides: words of the command line.
        form: ``yaml`` for the values alone, as the record keeps them; ``json`` for value and origin
            by dotted key; None for words with comments.

    Raises:
        ConfigError: as ``compose_config``.
    """
    config, settings = trace_config(overrides)
    if form == "yaml":
        print(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), end="")
    elif form == "json":
        told = {s.key: {"value": s.value, "origin": s.origin} for s in settings}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print("\n".join(setting.line for setting in settings))


def trace_config(overrides: Sequence[str]) -> tuple[dict[str, Any], list[OriginatedValue]]:
    """Return what ``compose_config`` does, and each of its values with its origin.

    The words of all settings together make the same configuration.

    Raises:
        ConfigError: as ``compose_config``.
    """
    config = compose_config(overrides)
    with open_hydra():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = cast(Any, hydra.config_loader)
        defaults = loader.compute_defaults_list("train", list(overrides), RunMode.RUN)
        repository = CachingConfigRepository(loader.repository)
        files = [
            (
                _flat(OmegaConf.to_container(loaded.config, resolve=False)),
                _file(Path(loaded.path.partition("://")[2], f"{default.config_path}.yaml")),
            )
            for default in defaults.defaults
            if not str(default.config_path).startswith("hydra/")
            for loaded in [loader._load_single_config(default, repository)]
        ]
    sources = _Sources(config, files, defaults.config_overrides)
    return config, [*_prefix(sources, overrides), *_settings(config, sources)]


class _Sources:
    """What was read, in the order in which a later one replaces an earlier one.

    Args:
        config: resolved.
        files: dotted key -> raw value, and the file's name.
        typed: words of the command line but choices.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        files: Sequence[tuple[dict[str, Any], str]],
        typed: Sequence[Override],
    ) -> None:
        self.config, self.files, self.typed = config, files, typed
        self.replaced = [o.key_or_group for o in typed if o.is_delete() or o.is_add()]

    def origin(self, key: str) -> str:
        """Return where the value of a key comes from, and through which other keys."""
        if any(_overlap(key, word.key_or_group) for word in self.typed):
            return TYPED
        for values, file in reversed(self.files):
            for own in reversed(values):
                if _overlap(key, own):
                    raw = WITHIN.sub(self._put, str(values[own]))
                    through = LOOKED_UP.findall(raw)
                    return ", ".join([file, *(f"{k} of {self.origin(k)}" for k in through)])
        return TYPED

    def _put(self, within: re.Match[str]) -> str:
        head, section, key = within.groups()
        return f"{head}{self.config[section][key]}"


def _settings(config: Mapping[str, Any], sources: _Sources) -> Iterator[OriginatedValue]:
    groups = [group for group in GROUPS.values() if isinstance(config.get(group), dict)]
    for group in groups:
        name = config[group]["name"]
        yield OriginatedValue(
            setting(group, name), group, name, _file(find_choices(group)[name].path)
        )
    for section, values in config.items():
        if not isinstance(values, dict):
            yield _setting(section, values, sources)
            continue
        for key, value in values.items():
            if section in groups and key == "name":
                continue
            dotted = f"{section}.{key}"
            if section in BUILT_WITH and key in FILES_OWN:
                stands_in = values.get("single_task")  # its class is that of a separate network
                file = stands_in and _file(find_choices(section)[stands_in].path)
                yield OriginatedValue(None, dotted, value, file or sources.origin(dotted))
            else:
                yield _setting(dotted, value, sources)


def _setting(key: str, value: Any, sources: _Sources) -> OriginatedValue:  # noqa: ANN401 - a plain value
    added = "+" * any(_overlap(key, replaced) for replaced in sources.replaced)
    return OriginatedValue(added + setting(key, value), key, value, sources.origin(key))


def _prefix(sources: _Sources, overrides: Sequence[str]) -> Iterator[OriginatedValue]:
    """Yield the words without which those of single keys can't be read."""
    for group in ("experiment", "ablation"):
        for word in overrides:
            if word.startswith(f"{group}="):
                yield OriginatedValue(word, group, word.partition("=")[2], TYPED)
    for override in sources.typed:
        if override.is_delete():
            yield OriginatedValue(override.input_line, override.key_or_group, None, TYPED)


def _overlap(one: str, other: str) -> bool:
    """Tell whether one of two keys is the other, or a section of it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 - what a file holds
    """Return the leaves of nested mappings by their dotted keys."""
    if not isinstance(values, dict) or not values:
        return {prefix: values} if prefix else {}
    return {
        key: leaf
        for name, value in values.items()
        for key, leaf in _flat(value, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _file(path: Path) -> str:
    """Return ``configs/profile/mini.yaml``, behind the name of a package that is not ours."""
    source = next(s for s in find_sources() if path.is_relative_to(s.folder))
    shown = path.relative_to(source.folder.parent).as_posix()
    return shown if source.package == PACKAGE else f"{source.package}: {shown}"
