"""What of a configuration can change a number: the hash of a run, and what runs differ in.

A component is known by its choice and its fields. Where its class lives is no part of that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

NOT_NUMBERS = ("paths", "logger", "debug", "label")
"""Sections that can't change a number."""

NOT_NUMBERS_IN = {
    "trainer": (
        *("device", "threads", "workers", "compile"),
        *("checkpoint_minutes", "log_every", "determinism"),
    ),
    "dataset": ("root", "resident", "padded"),
    "architecture": ("serves", "single_task"),
    "gradients": ("backend", "max_memory"),
    "algorithm": ("_target_",),
}
"""Keys of other sections that don't."""

CHANGEABLE = {"trainer.on_nonfinite": "abort"}
"""Keys that a run may go on with another value of, and the value that stands for every one in the
hash: a run that met a NaN under ``abort`` goes on with ``skip``, and its record counts what was
left out."""

NEUTRAL = {
    "trainer.early_stopping": None,
    "trainer.accumulate": 1,
    "trainer.clip_norm": None,
    "trainer.warmup_epochs": 0,
    "trainer.precision": "float32",
    "trainer.curvature_every": None,
    "gradients.level": "parameters",
    "algorithm.name": "supervised",
    "method.log_gram": False,
    "method.observation": "gram",
    "method.agents": "multi",
    "method.critic": "joint",
    "method.policy_input": "local",
    "method.reward_scope": "shared",
    "method.gradient_reward": "min_norm",
    "method.transition": "next_batch",
    "method.reward_gradients": "normalized",
    "method.penalty_on": "action",
    "method.critic_inputs": "raw",
    "method.learner": "maddpg",
    "method.part": "both",
    "method.norms_of": "shared",
    "method.update_weights_every": 1,
}
"""Values that mean what was the only way before their key existed. They are left out of the hash,
so that records from before are still found."""

SPELLINGS = {
    "dataset": {
        "cityscapes": "mtl_bench.datasets.cityscapes.Cityscapes",
        "nyuv2": "mtl_bench.datasets.nyuv2.NYUv2",
        "pendulum6": "mtl_bench.environments.pendulum.Pendulum",
        "qm9": "mtl_bench.datasets.qm9.QM9",
    },
    "architecture": {
        "mlp": "mtl_bench.architectures.control.mlp.MLP",
        "mpnn": "mtl_bench.architectures.mpnn.MPNN",
        "mtan": "mtl_bench.architectures.mtan.MTAN",
        "multihead": "mtl_bench.architectures.control.mlp.MLP",
        "pspnet": "mtl_bench.architectures.pspnet.PSPNet",
        "pyg": "mtl_bench.architectures.pyg.PyG",
        "segnet": "mtl_bench.architectures.segnet.SegNet",
    },
    "method": {
        "alignedmtl": "mtl_bench.methods.alignedmtl.AlignedMTL",
        "cagrad": "mtl_bench.methods.cagrad.CAGrad",
        "dwa": "mtl_bench.methods.dwa.DWA",
        "graddrop": "mtl_bench.methods.graddrop.GradDrop",
        "igbv2": "mtl_bench.methods.igbv2.IGBv2",
        "imtl": "mtl_bench.methods.imtl.IMTL",
        "ls": "mtl_bench.methods.ls.LS",
        "mgda": "mtl_bench.methods.mgda.MGDA",
        "nashmtl": "mtl_bench.methods.nashmtl.NashMTL",
        "pcgrad": "mtl_bench.methods.pcgrad.PCGrad",
        "rlw": "mtl_bench.methods.rlw.RLW",
        "stl": "mtl_bench.methods.stl.STL",
        "taskforce": "mtl_bench.methods.taskforce.TaskForce",
        "torchjd": "mtl_bench.methods.torchjd.TorchJD",
        "uw": "mtl_bench.methods.uw.UW",
    },
}
"""How the hash spells a choice: as the class was called when the hash still held its path, so that
records from then are still found. No line is ever added or changed, wherever a class moves: a
choice that is not here is spelled by its name."""


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
    settings = dict(leaves(_numbers(config)))
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
    for group, known in SPELLINGS.items():
        if "_target_" in numbers.get(group, ()):
            numbers[group]["_target_"] = _spell(config[group], known)
    for section in ("gradients", "algorithm"):
        if not numbers.get(section, True):
            del numbers[section]
    plain: dict[str, Any] = json.loads(json.dumps(numbers), parse_float=_plain_number)
    return plain


def _spell(section: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Return what stands for the class of a section; single-task networks have one of their own."""
    name, target = str(section.get("name")), str(section["_target_"])
    if name in known and target in known.values() and "single_task" not in section:
        return target  # records from before may have another class than their choice
    choice = str(section.get("single_task", name))
    return known.get(choice, choice)


def _matters(section: str, key: str, value: object) -> bool:
    if key in NOT_NUMBERS_IN.get(section, ()):
        return False
    name = f"{section}.{key}"
    return name not in NEUTRAL or NEUTRAL[name] != value


def _plain_number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of what is no mapping within nested ones."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
