"""What the agents of TaskForce could learn from their rewards, run by run.

Legend of shape suffixes: N logged steps, T tasks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mtl_bench.errors import MtlBenchError, RecordError
from mtl_bench.files import printable
from mtl_bench.records.steps import find_parts
from mtl_bench.reporting.figures.context import FigureContext
from mtl_bench.reporting.figures.series import Array, thin
from mtl_bench.reporting.notes import kind_text, place_text, profile_text
from mtl_bench.reporting.states import States, read_states
from mtl_bench.reporting.statistics import ScoredRun
from mtl_bench.reporting.table import Cell, Columns, Table, number_cell

SETTINGS = [f"method.{key}" for key in ("lambda_l", "lambda_g", "normalize", "normalize_scope")]
"""Keys that every record of TaskForce has."""

COLUMNS = ("reward_loss", "reward_gradient", "reward")

EDGE = 20
"""The first and the last one in so many updates are what progress is measured between."""

LOOKED_AT = 2000
"""At most so many steps, evenly spread, are compared with equal weights."""

LEARNABLE = ("R² [%]", "by chance [%]")
PARTS = ("r_L / progress", "sd λ_L r_L", "sd λ_G r_G")
BETTER = ("better by r_G", "better by r_L to first order")

NOTE = (
    "R²: share of the reward's variance that a linear function of the step's weights tells, and "
    "what weights that have nothing to do with it would give. r_L / progress: the sum of r_L over "
    "the drop of Σ log(1 + L), both between the means of the first and of the last "
    f"{100 // EDGE} % of the updates; 1 if the rewards add up to what was gained. sd: standard "
    "deviation of a part of the reward. Better: share of the steps whose weights have a larger "
    "reward than equal ones, by r_G, and by the first-order drop of Σ log(1 + L) on the step's own "
    "batch."
)


class Learned(NamedTuple):
    """The numbers of a run, None where its log or its reward doesn't tell.

    Args:
        explained: R² of the reward on the weights.
        chance: what it is expected to be where there is nothing to explain.
        inflation: sum of r_L over the progress in the losses.
        loss_deviation: of lambda_L r_L.
        gradient_deviation: of lambda_G r_G.
        better_gradient: share of steps with a larger r_G than equal weights have.
        better_loss: share with a larger first-order r_L.
    """

    explained: float
    chance: float
    inflation: float
    loss_deviation: float
    gradient_deviation: float
    better_gradient: float | None
    better_loss: float


def agent_table(scene: FigureContext) -> Table | None:
    """Return a row for each run of a comparison of TaskForce's; None if none has a step log."""
    names, cells = list[str](), list[list[Cell]]()
    without, notes = list[str](), list[str]()
    for row in scene.comparison.rows:
        for run in scene.runs[row.name]:
            name = f"{row.name} seed {run.record.seed}"
            if not find_parts(run.record.path / "steps"):
                without.append(name)
                continue
            try:
                learned = _measure(run, list(scene.tasks))
            except MtlBenchError as error:
                notes.append(printable(f"- {name}: {error}."))
                continue
            names.append(name)
            cells.append(_cells(learned))
    if not names and not notes:
        return None
    missing = [f"No step log of {', '.join(without)}."] if without else []
    shown = [[row[k] for row in cells] for k in range(len(Learned._fields))]
    about = f"Profile {profile_text(scene.comparison)}, {kind_text(scene.setting.data_kind)}. "
    second = len(LEARNABLE) + len(PARTS)
    return Table(
        f"agents: {place_text(scene.comparison)}",
        "run",
        names,
        Columns(BETTER, shown[second:]),
        Columns(LEARNABLE + PARTS, shown[:second]),
        [about + NOTE, *missing, *notes],
    )


def _measure(run: ScoredRun, tasks: list[str]) -> Learned:
    """Return the numbers of a run.

    Raises:
        RecordError: its step log lacks rewards or steps or can't be read, or its configuration.
        ConfigError: its reward is of a package that isn't here.
    """
    states = read_states(run.record.path, tasks, COLUMNS, run.summary.get("steps"))
    if states is None:
        raise RecordError(f"{run.record.path / 'steps'} has no rewards")
    if (np.diff(states.steps_N) != 1).any():
        raise RecordError(f"{run.record.path / 'steps'} does not have every update")
    settings = run.record.settings
    if missing := [key for key in SETTINGS if key not in settings]:
        raise RecordError(f"{run.record.path / 'config.yaml'} has no {missing[0]}")
    return measure(states, settings)


def measure(states: States, settings: dict[str, Any]) -> Learned:
    """Return what a step log tells of the agents' rewards.

    Steps without labels of every task are left out.

    Args:
        states: of every step, with ``COLUMNS``.
        settings: the run's configuration by dotted key.

    Raises:
        RecordError: every step lacks labels of a task.
    """
    _, losses_NT, grams_NTT, weights_NT, rewards_N3 = states
    if settings.get("method.transition") != "same_batch":  # a reward is logged with the next step
        losses_NT, grams_NTT, weights_NT = losses_NT[:-1], grams_NTT[:-1], weights_NT[:-1]
        rewards_N3 = rewards_N3[1:]
    whole_N = np.isfinite(losses_NT).all(axis=1)
    if not whole_N.any():
        raise RecordError("no update had labels of all tasks")
    losses_NT, grams_NTT, weights_NT = losses_NT[whole_N], grams_NTT[whole_N], weights_NT[whole_N]
    loss_N, gradient_N, reward_N = rewards_N3[whole_N].T
    return Learned(
        *explained_variance(reward_N, weights_NT),
        inflation(loss_N, np.log1p(losses_NT).sum(axis=1)),
        settings["method.lambda_l"] * float(loss_N.std()),
        settings["method.lambda_g"] * float(gradient_N.std()),
        _better_gradient(losses_NT, grams_NTT, weights_NT, settings),
        _better_loss(losses_NT, grams_NTT, weights_NT, settings),
    )


def explained_variance(reward_N: Array, weights_NT: Array) -> tuple[float, float]:
    """Return R² of a linear regression on the weights, and its mean under independence.

    The weights sum to 1, so that one of them tells nothing; k regressors that tell nothing explain
    k / (N - 1) of the variance.
    """
    centred_NK = weights_NT[:, :-1] - weights_NT[:, :-1].mean(axis=0)
    deviations_K = centred_NK.std(axis=0)
    standard_NK = centred_NK[:, deviations_K > 0] / deviations_K[deviations_K > 0]
    centred_N = reward_N - reward_N.mean()
    coefficients, *_ = np.linalg.lstsq(standard_NK, centred_N, rcond=None)
    left = np.square(centred_N - standard_NK @ coefficients).sum()
    explained = _ratio(np.square(centred_N).sum() - left, np.square(centred_N).sum())
    return explained, _ratio(standard_NK.shape[1], len(reward_N) - 1)


def inflation(loss_N: Array, level_N: Array) -> float:
    """Return the sum of r_L over the drop of sum_t log(1 + L_t), between two means over steps.

    The rewards of Algorithm 1 telescope, so that it is 1. Those of Algorithm 2 do not: what fits
    the batch at hand and is lost on the next counts at every step.

    Args:
        loss_N: r_L of every step.
        level_N: sum_t log(1 + L_t) before it.
    """
    edge = max(len(loss_N) // EDGE, 1)
    earned_N = np.cumsum(loss_N) - loss_N
    earned = earned_N[-edge:].mean() - earned_N[:edge].mean()
    return _ratio(earned, level_N[:edge].mean() - level_N[-edge:].mean())


def _better_gradient(
    losses_NT: Array, grams_NTT: Array, weights_NT: Array, settings: dict[str, Any]
) -> float | None:
    """Return the share of steps with a larger r_G than equal weights; None without an r_G."""
    kind = settings.get("method.gradient_reward", "min_norm")
    if kind == "none":
        return None
    import torch

    from mtl_bench.gradients.normalize import Normalize, normalize_gram, normalizers
    from mtl_bench.methods.taskforce.gradient_rewards import AgentOutcome, find_reward

    reward = find_reward(kind)
    raw = settings["method.normalize_scope"] != "all"
    raw = raw or settings.get("method.reward_gradients") == "raw"
    normalize: Normalize = "none" if raw else settings["method.normalize"]
    equal_T = torch.full((weights_NT.shape[1],), 1 / weights_NT.shape[1], dtype=torch.float64)
    better = []
    for step in thin(len(losses_NT), LOOKED_AT):
        losses_T, gram_TT, weights_T = (
            torch.from_numpy(part[step]) for part in (losses_NT, grams_NTT, weights_NT)
        )
        scales_T = normalizers(gram_TT, losses_T, normalize)
        normal_TT = normalize_gram(gram_TT, scales_T)
        own, equal = (
            reward(AgentOutcome(w_T, normal_TT, losses_T, losses_T)) for w_T in (weights_T, equal_T)
        )
        better.append(bool(own > equal))
    return float(np.mean(better))


def _better_loss(
    losses_NT: Array, grams_NTT: Array, weights_NT: Array, settings: dict[str, Any]
) -> float:
    """Return the share of steps that descend sum_t log(1 + L_t) faster than equal weights would.

    To first order, on their own batch: the slope along sum_s w_s g_s / c_s is
    sum_ts w_s K_ts / (c_s (1 + L_t)).
    """
    slopes_NT = np.einsum("nt,nts->ns", 1 / (1 + losses_NT), grams_NTT)
    if settings["method.normalize_scope"] == "all":
        lengths_NT = np.sqrt(np.diagonal(grams_NTT, axis1=1, axis2=2))
        scales = {"none": 1.0, "l2": lengths_NT, "loss": losses_NT, "loss+": lengths_NT * losses_NT}
        scale_NT = np.broadcast_to(scales[settings["method.normalize"]], slopes_NT.shape)
        slopes_NT = slopes_NT / np.where(scale_NT == 0, 1.0, scale_NT)
    return float(((weights_NT * slopes_NT).sum(axis=1) > slopes_NT.mean(axis=1)).mean())


def _cells(learned: Learned) -> list[Cell]:
    gradient = learned.better_gradient
    return [
        number_cell(100 * learned.explained, "{:.2f}"),
        number_cell(100 * learned.chance, "{:.2f}"),
        number_cell(learned.inflation, "{:.2f}"),
        number_cell(learned.loss_deviation, "{:.2g}"),
        number_cell(learned.gradient_deviation, "{:.2g}"),
        number_cell(None if gradient is None else 100 * gradient, "{:.0f} %"),
        number_cell(100 * learned.better_loss, "{:.0f} %"),
    ]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
