"""TaskForce's agents on the Gram matrices that a training has recorded.

No network is trained: the agents see one recorded state after another, answer with weights and are
rewarded by Nash welfare, which depends on w and K alone. So the best weights of every state can be
found, and with them how much of what there is to gain over equal weights is gained.

Legend of shape suffixes: S states, T tasks.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl_bench import build_method
from mtl_bench.errors import RecordError
from mtl_bench.gradients.normalize import normalize_gram, normalizers
from mtl_bench.methods.taskforce import AgentOutcome
from mtl_bench.methods.taskforce.gradient_rewards import NashWelfare
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.states import read_states

FIELDS: dict[str, Any] = {
    "gradient_reward": "nash",
    "lambda_l": 0.0,
    "lambda_g": 1.0,
    "gamma": 0.0,
}
"""The Nash reward as it is meant to be used."""

VARIANTS: dict[str, dict[str, Any]] = {
    "maddpg": {},
    "batch_norm": {"critic_inputs": "batch_norm"},
    "layer_norm": {"critic_inputs": "layer_norm"},
    "raw_output": {"penalty_on": "raw_output"},
    "matd3": {"learner": "matd3"},
    "bandit": {"learner": "bandit"},
}
"""What is played, each a change of ``FIELDS``."""

RECORD = {"profile": "mini", "dataset": "qm9", "method": "equal"}
"""Whose Gram matrices are played, the first such run."""

LAST = 5
"""What counts at the end is the last fifth of the steps."""

ASCENT = 300
"""Steps of the search for the best weights."""


class RecordedStates(NamedTuple):
    """Recorded states, float64: task losses, Gram matrices as they are and of unit gradients."""

    losses_ST: Tensor
    grams_STT: Tensor
    units_STT: Tensor

    def at(self, step: int) -> tuple[Tensor, ...]:
        """Return what a step sees; after the last state the first comes again."""
        return tuple(part[step % len(part)] for part in self)


class Play(NamedTuple):
    """How a seed did in the last fifth of its steps.

    Args:
        share: its mean gain over equal weights, in units of that of the best weights.
        better: share of the steps with a gain.
        saturated: share of the actions at the bound.
        constant: the share of the best constant weights, chosen in hindsight.
    """

    share: float
    better: float
    saturated: float
    constant: float


def find_states(results: Path) -> RecordedStates:
    """Read the states of the first run that ``RECORD`` names.

    Raises:
        RecordError: there is none with Gram matrices in its step log.
    """
    for record in find_records(results, **RECORD):
        if record.summary is not None:
            tasks = list(record.summary["metrics"]["last"])
            if (found := read_states(record.path, tasks)) is not None:
                return as_states(found.losses_NT, found.grams_NTT)
    words = " ".join(f"{key}={value}" for key, value in RECORD.items())
    raise RecordError(f"{results} has no finished run of {words} with a step log")


def as_states(losses_ST: np.ndarray, grams_STT: np.ndarray) -> RecordedStates:
    """Return states with the Gram matrices that TaskForce's ``l2`` normalisation makes of them."""
    losses, grams = torch.from_numpy(losses_ST), torch.from_numpy(grams_STT)
    rows = zip(losses, grams, strict=True)
    units = torch.stack([normalize_gram(k, normalizers(k, loss, "l2")) for loss, k in rows])
    return RecordedStates(losses, grams, units)


def gains(weights_ST: Tensor, units_STT: Tensor) -> Tensor:
    """Return the Nash reward of every state's weights, (S,): the gain over equal weights."""
    reward = NashWelfare()

    def gain(weights_T: Tensor, unit_TT: Tensor) -> Tensor:
        nothing_T = torch.zeros_like(weights_T)
        return reward(AgentOutcome(weights_T, unit_TT, nothing_T, nothing_T))

    found: Tensor = torch.vmap(gain)(weights_ST, units_STT)
    return found


def best_gains(units_STT: Tensor, bound: float = 1.0, constant: bool = False) -> Tensor:
    """Return what the best weights of every state gain, (S,), with actions within the bound.

    Found by gradient ascent on the actions of all states at once, from equal weights.

    Args:
        units_STT: Gram matrices of unit gradients.
        bound: of the actions.
        constant: whether all states have the same weights, those with the largest mean gain.
    """
    states, tasks, _ = units_STT.shape
    rows = 1 if constant else states
    actions_RT = torch.zeros(rows, tasks, dtype=torch.float64, requires_grad=True)
    ascent = torch.optim.Adam([actions_RT], lr=0.05)
    best_R = torch.zeros(rows, dtype=torch.float64)
    for _ in range(ASCENT):
        gains_S = gains(actions_RT.softmax(1).expand(states, -1), units_STT)
        best_R = torch.maximum(best_R, gains_S.detach().view(rows, -1).mean(1))
        (actions_RT.grad,) = torch.autograd.grad(-gains_S.sum(), [actions_RT])
        ascent.step()
        with torch.no_grad():
            actions_RT.clamp_(-bound, bound)
    return best_R.expand(states)


def play(states: RecordedStates, fields: dict[str, Any], seed: int, steps: int) -> Play:
    """Let agents play the states, one after the other, and return how they end."""
    tasks = states.losses_ST.shape[1]
    settings = {"noise_steps": max(steps // 4, 1), **FIELDS, **fields}
    method = build_method("taskforce", tasks, seed=seed, **settings)
    weights, units, saturated = [], [], []
    for step in range(steps):
        losses_T, gram_TT, unit_TT = states.at(step)
        weights_T = method.weights(losses_T, gram_TT)
        if step >= steps - max(steps // LAST, 1):
            weights.append(weights_T)
            units.append(unit_TT)
            saturated.append(method.diagnostics["saturated"])
    units_STT = torch.stack(units)
    gains_S = gains(torch.stack(weights), units_STT)
    most = best_gains(units_STT).mean()
    return Play(
        (gains_S.mean() / most).item(),
        (gains_S > 0).double().mean().item(),
        fmean(saturated),
        (best_gains(units_STT, constant=True).mean() / most).item(),
    )


def render(results: dict[str, list[Play]]) -> str:
    """Return the outcome as a Markdown table."""
    lines = [
        "| | share of the attainable gain, seed by seed | median | better than equal weights "
        "| at the bound | best constant weights |",
        "|---|---|---|---|---|---|",
    ]
    for name, plays in results.items():
        shares = [played.share for played in plays]
        better, saturated, constant = (
            fmean(values) for values in zip(*(played[1:] for played in plays), strict=True)
        )
        lines.append(
            f"| {name} | {', '.join(f'{share:.2f}' for share in shares)} | {median(shares):.2f} "
            f"| {better:.0%} | {saturated:.0%} | {constant:.2f} |"
        )
    return "\n".join(lines)
