"""What of a configuration can change a number: the hash of a run, and what runs differ in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

NOT_NUMBERS = ("paths", "logger", "debug")
"""Sections that can't change a number."""

NOT_NUMBERS_IN = {
    "trainer": ("device", "threads", "workers", "checkpoint_minutes", "log_every", "determinism"),
    "dataset": ("root",),
    "architecture": ("serves",),
    "gradients": ("backend",),
    "algorithm": ("_target_",),
}
"""Keys of other sections that don't."""

CHANGEABLE = {"trainer.on_nonfinite": "abort"}
"""Keys that a run may go on with another value of, and the value that stands for every one in the
hash: a run that met a NaN under ``abort`` goes on with ``skip``, and its record counts what was
left out."""

NEUTRAL = {
    "trainer.accumulate": 1,
    "trainer.clip_norm": None,
    "trainer.warmup_epochs": 0,
    "trainer.precision": "float32",
    "gradients.level": "parameters",
    "algorithm.name": "supervised",
    "method.observation": "gram",
    "method.agents": "multi",
    "method.critic": "joint",
    "method.policy_input": "local",
    "method.reward_scope": "shared",
    "method.gradient_reward": "min_norm",
    "method.transition": "next_batch",
    "method.part": "both",
    "method.update_weights_every": 1,
}
"""Values that mean what was the only way before their key existed. They are left out of the hash,
so that records from before are still found."""


def config_hash(config: dict[str, Any]) -> str:
    """Return 8 hexadecimal digits over all that changes a run's numbers, and nothing else.

    1 and 1.0 are the same number.
    """
    canonical = json.dumps(_numbers(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return all that changes a run's numbers but its seed, by dotted key.

    ``variant`` is left out too: it is a name for other keys. So is what a run may go on with
    another value of.
    """
    settings = dict(_flatten(_numbers(config), ""))
    return {key: settings[key] for key in settings.keys() - {"seed", "variant", *CHANGEABLE}}


def _numbers(config: dict[str, Any]) -> dict[str, Any]:
    numbers = {
        section: {
            k: CHANGEABLE.get(f"{section}.{k}", v)
            for k, v in value.items()
            if _matters(section, k, v)
        }
        if isinstance(value, dict)
        else value
        for section, value in config.items()
        if section not in NOT_NUMBERS
    }
    for section in ("gradients", "algorithm"):
        if not numbers.get(section, True):
            del numbers[section]
    plain: dict[str, Any] = json.loads(json.dumps(numbers), parse_float=_plain_number)
    return plain


def _matters(section: str, key: str, value: object) -> bool:
    if key in NOT_NUMBERS_IN.get(section, ()):
        return False
    name = f"{section}.{key}"
    return name not in NEUTRAL or NEUTRAL[name] != value


def _plain_number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
