"""Runs of the game: TaskForce with and without noise, held against the optimum."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_bench import build_method
from mtl_bench.methods.equal import Equal
from mtl_bench.toy.game import RATE, Game, GameHistory
from mtl_bench.toy.references import FirstOrder, Optimal, Random

NOISE = 0.5
UNEVEN = (0.0, 3.0, 9.0)
LONG = 0.6
"""A rate at which noise that is followed is no longer averaged away."""

LIMIT = 2.0
"""A rate at which a full step from anywhere leads past the optimum."""

LAST = 5
"""What counts at the end is the last fifth of a run."""

GAME_SEED = 1000
"""Offset of the games' seeds, so that noise and agents do not share one."""


class GameVariant(NamedTuple):
    """One setting that is played with several seeds; ``noise`` is of all tasks or of each."""

    title: str
    noise: float | tuple[float, ...]
    fields: dict[str, Any]
    rate: float = RATE

    def game(self, seed: int) -> Game:
        """Return a new game."""
        return Game(self.noise, GAME_SEED + seed, self.rate)


VARIANTS = (
    GameVariant("no noise", 0.0, {}),
    GameVariant("noise", NOISE, {}),
    GameVariant("noise, γ = 0", NOISE, {"gamma": 0.0}),
    GameVariant("noise, Algorithm 2", NOISE, {"transition": "same_batch"}),
    GameVariant("uneven noise, long steps", UNEVEN, {}, LONG),
    GameVariant("the same, Algorithm 2", UNEVEN, {"transition": "same_batch"}, LONG),
    GameVariant("no noise, rate at its limit", 0.0, {}, LIMIT),
)


class Played(NamedTuple):
    """A variant's runs, and the log-losses of what they are held against."""

    variant: GameVariant
    runs: list[GameHistory]
    optimal: float
    equal: float
    random: float
    first_order: float
    optimal_weights_T: Tensor

    def share(self, log_losses: Tensor | float) -> Tensor:
        """Return the gain over equal weights as a share of the optimum's: 1 optimal, 0 equal."""
        return (self.equal - torch.as_tensor(log_losses)) / (self.equal - self.optimal)

    def final_shares(self) -> list[float]:
        """Return the share in the last fifth, seed by seed."""
        return [self.share(_level(run)).item() for run in self.runs]


def last(values_N: Tensor) -> Tensor:
    """Return the last fifth of the steps."""
    return values_N[-(len(values_N) // LAST) :]


def play(variant: GameVariant, seeds: int, steps: int) -> Played:
    """Play a variant with seeds 0, 1, ... and the references with as much noise."""
    runs = []
    for seed in range(seeds):
        method = build_method(
            "taskforce", 3, seed=seed, noise_steps=max(steps // 4, 1), **variant.fields
        )
        runs.append(variant.game(seed).play(method, steps))
    game = variant.game(0)
    optimal = game.play(Optimal(game), steps)
    equal, random, first_order = (
        _level(variant.game(0).play(kind(game.num_tasks), steps))
        for kind in (Equal, Random, FirstOrder)
    )
    return Played(
        variant,
        runs,
        optimal=_level(optimal),
        equal=equal,
        random=random,
        first_order=first_order,
        optimal_weights_T=last(optimal.weights_NT).mean(0),
    )


def _level(run: GameHistory) -> float:
    return last(run.log_losses_N).mean().item()


def render(results: list[Played]) -> str:
    """Return the outcome as a Markdown table."""
    lines = [
        "| | share of the optimum's gain, seed by seed | median | first-order policy "
        "| random weights | at the bound |",
        "|---|---|---|---|---|---|",
    ]
    for played in results:
        shares = played.final_shares()
        saturated = torch.stack([last(run.saturated_N).mean() for run in played.runs]).mean()
        lines.append(
            f"| {played.variant.title} | {', '.join(f'{share:.2f}' for share in shares)} "
            f"| {torch.tensor(shares).median():.2f} | {played.share(played.first_order):.2f} "
            f"| {played.share(played.random):.2f} "
            f"| {saturated:.0%} |"
        )
    return "\n".join(lines)
