"""Meta-World's V3 tasks of one robot arm, any of the fifty side by side.

Legend of shape suffixes: T tasks, C copies of each task, A action numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from mtl_bench.environments.base import Outcome, Purpose, Suite
from mtl_bench.errors import ConfigError
from mtl_bench.seeding import derive_seed
from mtl_bench.values import Fraction, Positive, PositiveInt

CURRENT = 18
"""Numbers of an observation about the present state; those about the one before follow."""


GOAL = "-goal"
"""What stands between a task and a number in the name of a task with one goal."""

PIXELS = 300, 400
"""Height and width of a rendered picture."""

CAMERA = "corner2"
CROP = slice(40, 260), slice(60, 340)
"""The part of its pictures with the arm and the table."""


# in the order of Meta-World, which is that of MT50
NAMES = """
assembly basketball bin-picking box-close button-press-topdown button-press-topdown-wall
button-press button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble
door-close door-lock door-open door-unlock hand-insert drawer-close drawer-open faucet-open
faucet-close hammer handle-press-side handle-press handle-pull-side handle-pull lever-pull
pick-place-wall pick-out-of-hole pick-place plate-slide plate-slide-side plate-slide-back
plate-slide-back-side peg-insert-side peg-unplug-side soccer stick-push stick-pull push
push-wall push-back reach reach-wall shelf-place sweep-into sweep window-open window-close
"""
ALL_TASKS = tuple(NAMES.split())
MT4 = ("handle-press", "coffee-button", "plate-slide", "button-press-topdown")
MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
BENCHMARKS = {
    "mt4": MT4,
    "mt6": (*MT4, "reach", "drawer-close"),
    "mt10": MT10,
    "mt50": ALL_TASKS,
}
"""Tasks by the name of their benchmark. ``mt4`` and ``mt6`` are learned on a small budget: all but
``button-press-topdown`` within 35,000 steps per task by single-task SAC."""


class MetaWorld(Suite):
    """Tasks of Meta-World (Yu et al., CoRL 2019; V3 of McLean et al., 2025) with visible goals.

    An observation has 39 numbers: hand, gripper and two objects now and a step before, and the
    goal. There is no task identity in it. An action moves the hand in three directions and closes
    the gripper.

    Each task has ``goals`` goals, which also say where its objects are at first. They follow from
    the seed, the task's name and their number: training and evaluation, every copy, and suites
    with other tasks share them. An episode's goal is drawn when it begins.

    *Deviations from Meta-World's own benchmarks.* With equal goals the numbers are theirs to the
    last bit, but goals are drawn from other random numbers: theirs depend on a global of the module
    and on all tasks before, and take a second per task to make. The placing of the hand, which is
    simulated, is left out of the first of the two resets that each of theirs makes.

    A goal can be a task of its own, as in PCGrad's goal-conditioned pushing (Yu et al., 2020,
    appendix F): ``push-goal3`` is ``push`` with its goal number 3 alone, and ``push*8`` stands for
    ``push-goal0`` to ``push-goal7``.

    Args:
        tasks: names such as ``reach``, with or without the ending ``-v3``, or one of ``mt4``,
            ``mt6``, ``mt10`` and ``mt50``.
        copies: of each task.
        horizon: steps of an episode.
        seed: of the run.
        purpose: what the episodes are for.
        goals: per task. 1 for fixed goals, 50 for those of MT10 and MT50; None for a new one in
            every episode.
        reward_version: ``v1`` of 2019 or ``v2``, from 0 to 10.
        reward_scale: factor of all rewards.
        task_reward_scales: task -> a further factor of its rewards.
        reward_rate: see ``Suite``.

    Raises:
        ConfigError: Meta-World is missing, or a task is unknown or named twice.
    """

    task_names = ALL_TASKS
    benchmarks = BENCHMARKS
    observation_dim = 39
    action_dim = 4

    def __init__(
        self,
        tasks: str | list[str] = "mt10",
        copies: PositiveInt = 1,
        horizon: PositiveInt = 500,
        *,
        seed: int,
        purpose: Purpose = "training",
        goals: PositiveInt | None = 50,
        reward_version: Literal["v1", "v2"] = "v2",
        reward_scale: Positive = 1.0,
        task_reward_scales: dict[str, Positive] | None = None,
        reward_rate: Fraction | None = None,
    ) -> None:
        super().__init__(
            *(tasks, copies, horizon, seed, purpose),
            *(reward_scale, task_reward_scales, reward_rate),
        )
        self._seed = seed
        self._goals = 2**62 if goals is None else goals
        constructors = _import()
        self.simulator = f"mujoco {version('mujoco')}, metaworld {version('metaworld')}"
        self._environments = [
            _make(constructors[f"{split_goal(task)[0]}-v3"], horizon, reward_version)
            for task in self.tasks
            for _ in range(copies)
        ]

    @classmethod
    def names_in(cls, tasks: str | list[str]) -> tuple[str, ...]:
        """Return the names of the tasks of a benchmark, of one task, or of a list."""
        names = list[str]()
        for given in super().names_in(tasks):
            name, star, count = given.partition("*")
            name = name.removesuffix("-v3")
            several = star and count.isdecimal()
            names += (
                [f"{name}{GOAL}{n}" for n in range(int(count))]
                if several
                else [name + star + count]
            )
        return tuple(names)

    @classmethod
    def known_names(cls, names: Sequence[str]) -> tuple[str, ...]:
        """Return the fifty tasks, and those of the names that are one of their goals."""
        return (*ALL_TASKS, *(name for name in names if split_goal(name)[0] in ALL_TASKS))

    @contextmanager
    def camera(self) -> Iterator[Callable[[], np.ndarray]]:
        """Give a function that renders the tasks without a display; see ``Suite.camera``.

        The camera ``corner2`` hangs upside down, as do its like, so its pictures are turned.

        Raises:
            ConfigError: MuJoCo can't render here.
        """
        import mujoco

        shown = self._environments[:: self.copies]
        with ExitStack() as stack:
            try:
                renderers = [
                    stack.enter_context(mujoco.Renderer(environment.model, *PIXELS))
                    for environment in shown
                ]
            except Exception as error:  # of whichever library should have drawn
                raise ConfigError(
                    f"MuJoCo can't render here ({type(error).__name__}: {error}): set "
                    "MUJOCO_GL=egl or MUJOCO_GL=osmesa and install that library"
                ) from error

            def render() -> np.ndarray:
                for renderer, environment in zip(renderers, shown, strict=True):
                    renderer.update_scene(environment.data, camera=CAMERA)
                return np.stack([renderer.render()[CROP][::-1, ::-1] for renderer in renderers])

            yield render

    def _begin(self, generators: list[np.random.Generator]) -> np.ndarray:
        observations = []
        for number, (generator, environment) in enumerate(
            zip(generators, self._environments, strict=True)
        ):
            task, own = split_goal(self.tasks[number // self.copies])
            goal = int(generator.integers(self._goals)) if own is None else own
            observations.append(_reset(environment, derive_seed(self._seed, "goal", task, goal)))
        return self._task_major(observations)

    def _advance(self, actions_TCA: np.ndarray) -> Outcome:
        actions = actions_TCA.reshape(-1, self.action_dim)
        observations, rewards, successes = [], [], []
        for environment, action in zip(self._environments, actions, strict=True):
            observation, reward, _, _, info = environment.step(action)
            observations.append(observation)
            rewards.append(reward)
            successes.append(bool(info["success"]))
        return Outcome(*map(self._task_major, (observations, rewards, successes)))

    def _task_major(self, values: list[Any]) -> np.ndarray:
        array = np.array(values)
        return array.reshape(len(self.tasks), self.copies, *array.shape[1:])


def split_goal(name: str) -> tuple[str, int | None]:
    """Return the task and the number of the goal in a name such as ``push-goal3``.

    >>> split_goal("push-goal3"), split_goal("push")
    (('push', 3), ('push', None))
    """
    task, _, number = name.rpartition(GOAL)
    return (task, int(number)) if task and number.isdecimal() else (name, None)


def _import() -> Mapping[str, Any]:
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    except ImportError as error:
        raise ConfigError(
            f"Meta-World can't be imported ({error}): pip install 'mtl_bench[rl]' "
            "with Python 3.11, 3.12 or 3.13"
        ) from error
    constructors: Mapping[str, Any] = ALL_V3_ENVIRONMENTS
    return constructors


def _make(constructor: Any, horizon: int, reward_version: str) -> Any:  # noqa: ANN401
    """Return an environment as ``set_task`` of a multi-task benchmark leaves it, without a goal."""
    environment = constructor(reward_function_version=reward_version)
    environment.max_path_length = horizon
    environment.seeded_rand_vec = True
    environment._set_task_called = True
    environment._partially_observable = False
    # observations are limited to this space, where a goal that can't be seen is zero
    del environment.sawyer_observation_space
    return environment


def _reset(environment: Any, goal_seed: int) -> np.ndarray:  # noqa: ANN401
    """Begin an episode with the goal of a seed and return its first observation.

    Ten of the tasks place objects before the model knows the goal, so one reset alone shows traces
    of the episode before. The first pass draws the goal and tells the model; it needs no hand.
    """
    from gymnasium.envs.mujoco import MujocoEnv

    environment.seed(goal_seed)
    environment._freeze_rand_vec = False
    environment._reset_hand = lambda: setattr(environment, "init_tcp", environment.tcp_center)
    environment.reset_model()
    del environment._reset_hand
    environment._freeze_rand_vec = True
    environment.curr_path_length = 0
    observation, _ = MujocoEnv.reset(environment)
    observation[CURRENT : 2 * CURRENT] = observation[:CURRENT]
    return observation
