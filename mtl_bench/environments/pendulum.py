"""Six pendulums to swing up: tasks that are related, in conflict, and learned in seconds.

Legend of shape suffixes: T tasks, C copies of each task, A action numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import numpy as np

from mtl_bench.environments.base import Outcome, Purpose, Suite
from mtl_bench.values import Positive, PositiveInt

STEP_SECONDS = 0.05
GREATEST_SPEED = 8.0
GREATEST_TORQUE = 2.0

PIXELS = 96
ROD, PIVOT = (204, 77, 77), (0, 0, 0)
"""A picture's side, and the colours in it."""

UPRIGHT = 0.25
LAST_STEPS = 50
UPRIGHT_SHARE = 0.8


class Variant(NamedTuple):
    """A pendulum: a rod that turns about its end.

    Args:
        direction: sign of the torque of a positive action.
        gravity: in m/s².
        mass: in kg.
        length: in m.
    """

    direction: float = 1.0
    gravity: float = 10.0
    mass: float = 1.0
    length: float = 1.0


VARIANTS = {
    "standard": Variant(),
    "reversed": Variant(direction=-1.0),
    "weak_gravity": Variant(gravity=5.0),
    "heavy": Variant(mass=1.3),
    "long": Variant(length=1.2),
    "reversed_heavy": Variant(direction=-1.0, mass=1.3),
}


class Pendulum(Suite):
    """Gymnasium's Pendulum-v1, whose tasks differ in gravity, mass, length and direction of torque.

    The action u in [-1, 1] is a torque of 2u. With the angle θ from upright and θ' its speed, the
    observation is (cos θ, sin θ, θ'/8), and a step of 0.05 s is

        θ' <- clip(θ' + (3g/(2l) sin θ + 3/(ml²) torque) 0.05, -8, 8),   θ <- θ + 0.05 θ'.

    Its reward -(θ² + 0.1 θ'² + 0.001 torque²) is of the state before it, with θ in [-π, π). An
    episode begins with θ uniform in [-π, π] and θ' in [-1, 1]. It succeeds, at its last step, if
    |θ| < 0.25 after at least 80 % of its last 50 steps.

    Args:
        tasks: names among those of ``VARIANTS``, or ``pendulum6`` for all of them.
        copies: of each task.
        horizon: steps of an episode; 200 in Pendulum-v1.
        seed: of the run.
        purpose: what the episodes are for.
        reward_scale: factor of all rewards.
        task_reward_scales: task -> a further factor of its rewards.
    """

    task_names = tuple(VARIANTS)
    benchmarks: ClassVar = {"pendulum6": task_names}
    observation_dim = 3
    action_dim = 1
    simulator = "pendulum 1"

    def __init__(
        self,
        tasks: str | list[str] = "pendulum6",
        copies: PositiveInt = 4,
        horizon: PositiveInt = 200,
        *,
        seed: int,
        purpose: Purpose = "training",
        reward_scale: Positive = 0.1,
        task_reward_scales: dict[str, Positive] | None = None,
    ) -> None:
        super().__init__(tasks, copies, horizon, seed, purpose, reward_scale, task_reward_scales)
        variants_T4 = np.array([VARIANTS[task] for task in self.tasks])
        self._direction, self._gravity, self._mass, self._length = variants_T4.T[:, :, None]
        self._angle = self._speed = np.zeros((len(self.tasks), copies))
        self._upright_steps = np.zeros((len(self.tasks), copies), dtype=int)
        self._last_steps = min(LAST_STEPS, horizon)

    def _begin(self, generators: list[np.random.Generator]) -> np.ndarray:
        high = np.array([np.pi, 1.0])
        drawn = np.array([generator.uniform(-high, high) for generator in generators])
        self._angle, self._speed = drawn.T.reshape(2, len(self.tasks), self.copies)
        self._upright_steps = np.zeros_like(self._upright_steps)
        return self._observe()

    def _advance(self, actions_TCA: np.ndarray) -> Outcome:
        torque = self._direction * GREATEST_TORQUE * actions_TCA[:, :, 0].astype(float)
        cost = wrap(self._angle) ** 2 + 0.1 * self._speed**2 + 0.001 * torque**2
        acceleration = (
            3 * self._gravity / (2 * self._length) * np.sin(self._angle)
            + 3 / (self._mass * self._length**2) * torque
        )
        speed = self._speed + acceleration * STEP_SECONDS
        self._speed = np.clip(speed, -GREATEST_SPEED, GREATEST_SPEED)
        self._angle = self._angle + self._speed * STEP_SECONDS
        if self.steps > self.horizon - self._last_steps:
            self._upright_steps += np.abs(wrap(self._angle)) < UPRIGHT
        enough = self._upright_steps >= UPRIGHT_SHARE * self._last_steps
        return Outcome(self._observe(), -cost, enough & (self.steps == self.horizon))

    @contextmanager
    def camera(self) -> Iterator[Callable[[], np.ndarray]]:
        """Give a function that draws the rods, upright ones up; see ``Suite.camera``."""
        yield lambda: np.stack(
            [
                _draw_rod(angle, length / self._length.max())
                for angle, length in zip(self._angle[:, 0], self._length[:, 0], strict=True)
            ]
        )

    def _observe(self) -> np.ndarray:
        return np.stack(
            (np.cos(self._angle), np.sin(self._angle), self._speed / GREATEST_SPEED), axis=-1
        )


def _draw_rod(angle: float, length: float) -> np.ndarray:
    """Return a rod of a length up to 1 at an angle from upright, (H, W, 3)."""
    axis = np.linspace(-1.2, 1.2, PIXELS)
    x_HW, y_HW = np.meshgrid(axis, -axis)
    along = np.array([-np.sin(angle), np.cos(angle)])
    reached_HW = np.clip(x_HW * along[0] + y_HW * along[1], 0.0, length)
    distance_HW = np.hypot(x_HW - reached_HW * along[0], y_HW - reached_HW * along[1])
    pixel = axis[1] - axis[0]
    picture_HW3 = np.full((PIXELS, PIXELS, 3), 255.0)
    for distance, radius, colour in (
        (distance_HW, 0.09, ROD),
        (np.hypot(x_HW, y_HW), 0.04, PIVOT),
    ):
        covered_HW1 = np.clip((radius - distance) / pixel + 0.5, 0.0, 1.0)[..., None]
        picture_HW3 += covered_HW1 * (np.array(colour) - picture_HW3)
    return picture_HW3.round().astype(np.uint8)


def wrap(angle: np.ndarray) -> np.ndarray:
    """Return an angle's equal in [-π, π)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
