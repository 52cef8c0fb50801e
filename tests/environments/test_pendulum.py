"""The pendulums against Gymnasium's own, and what every suite keeps."""

import gymnasium
import numpy as np
import pytest

from mtl_bench.environments.pendulum import VARIANTS, Pendulum
from mtl_bench.errors import ConfigError
from tests.environments import contract


def make(**settings):
    return Pendulum(**{"seed": 0} | settings)


@pytest.mark.parametrize("task", VARIANTS)
def test_steps_are_those_of_gymnasium(task):
    oracle = gymnasium.make("Pendulum-v1").unwrapped
    variant = VARIANTS[task]
    oracle.g, oracle.m, oracle.l = variant.gravity, variant.mass, variant.length
    suite = make(reward_scale=1.0, copies=2)
    number = suite.tasks.index(task)
    for seed in range(3):
        before = suite.reset()[number, 1]
        for actions in contract.actions_of(suite, suite.horizon, seed):
            cos, sin, speed = before.astype(float)
            oracle.state = np.array([np.arctan2(sin, cos), 8 * speed])
            expected, reward, *_ = oracle.step(2 * variant.direction * actions[number, 1])
            outcome = suite.step(actions)
            before = outcome.observations[number, 1]
            np.testing.assert_allclose(before * [1, 1, 8], expected, atol=1e-5)
            np.testing.assert_allclose(outcome.rewards[number, 1], reward, rtol=1e-5, atol=1e-5)


def test_whole_episodes_are_those_of_gymnasium():
    suite = make(tasks=["standard"], copies=1, reward_scale=1.0)
    environment = gymnasium.make("Pendulum-v1").unwrapped
    environment.reset(seed=0)
    begin = np.random.default_rng(0)
    suite._generators[0].bit_generator.state = environment.np_random.bit_generator.state
    for _ in range(3):
        first, _ = environment.reset()
        np.testing.assert_allclose(suite.reset()[0, 0] * [1, 1, 8], first, rtol=1e-6)
        for action in begin.uniform(-1.5, 1.5, suite.horizon).astype(np.float32):
            expected, reward, *_ = environment.step(np.float32([2 * action]))
            observations, rewards, _ = suite.step(action[None, None, None])
            np.testing.assert_allclose(observations[0, 0] * [1, 1, 8], expected, atol=1e-4)
            np.testing.assert_allclose(rewards[0, 0], reward, atol=1e-3)


def test_every_task_has_its_own_direction_or_constants():
    assert len(set(VARIANTS.values())) == len(VARIANTS) == 6


def upright(suite, steps):
    """Hold every pendulum upright for the last steps of an episode, and below before them."""
    suite.reset()
    successes = []
    for step in range(suite.horizon):
        held = step >= suite.horizon - steps
        suite._angle = np.full_like(suite._angle, 0.0 if held else np.pi)
        suite._speed = np.zeros_like(suite._speed)
        successes.append(suite.step(contract.actions_of(suite, 1)[0] * 0).successes)
    return np.array(successes)


@pytest.mark.parametrize(("horizon", "least"), [(200, 40), (60, 40), (20, 16)])
def test_success_is_to_be_upright_for_four_fifths_of_the_last_steps(horizon, least):
    suite = make(horizon=horizon)
    assert upright(suite, least)[-1].all()
    assert not upright(suite, least)[:-1].any()
    assert not upright(suite, least - 1).any()


def test_rewards_are_scaled_by_task():
    raw = make(reward_scale=1.0)
    scaled = make(reward_scale=0.1, task_reward_scales={"standard": 30.0})
    actions = contract.actions_of(raw, 5)
    expected, found = (contract.episode(suite, actions)[2] for suite in (raw, scaled))
    factors = np.array([3.0, *[0.1] * 5])[:, None]
    np.testing.assert_allclose(found, expected * factors, rtol=1e-6)
    np.testing.assert_allclose(scaled.reward_scales, factors[:, 0])


def test_an_environment_depends_on_no_other():
    all_tasks, few = make(copies=3), make(tasks=["long", "standard"], copies=2)
    actions = contract.actions_of(all_tasks, 10)
    places = np.ix_([4, 0], [0, 1])
    whole = contract.episode(all_tasks, actions)
    part = contract.episode(few, np.stack([action[places] for action in actions]))
    np.testing.assert_allclose(part[0], whole[0][places], rtol=1e-6)
    for some, every in zip(part[1:], whole[1:], strict=True):
        np.testing.assert_allclose(some, np.stack([step[places] for step in every]), rtol=1e-5)


def test_shapes():
    contract.check_shapes(make(horizon=7))


@pytest.mark.parametrize("done", [1, 100, 200])
def test_restored_in_the_middle_of_an_episode(done):
    contract.check_restore(make, done)


def test_seeds():
    contract.check_seeds(make)


def test_a_state_without_steps_begins_the_same_episode_again():
    suite = make()
    start = suite.state_dict()
    none = contract.actions_of(suite, 0)
    first = suite.reset()
    suite.step(contract.actions_of(suite, 1)[0])
    assert np.array_equal(suite.restore(start, none), first)
    assert not np.array_equal(suite.reset(), first)


def test_actions_are_limited_and_rounded_like_those_of_a_replay_buffer():
    wild, tame = make(), make()
    actions = 3 * contract.actions_of(wild, 20).astype(np.float64) + 1e-12
    rounded = np.clip(actions, -1, 1).astype(np.float32)
    assert contract.equal(contract.episode(wild, actions), contract.episode(tame, rounded))


def test_missing_actions_are_noticed():
    suite = make()
    contract.episode(suite, contract.actions_of(suite, 3))
    with pytest.raises(ValueError, match="3 steps, but 2 actions"):
        suite.restore(suite.state_dict(), contract.actions_of(suite, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ["heavi"]}, r"tasks: no task heavi; did you mean heavy.*\?"),
        ({"tasks": ["zzz"]}, "tasks: no task zzz; there are standard, reversed, "),
        ({"tasks": ["long", "long"]}, "tasks: long is there twice"),
        (
            {"tasks": ["long"], "task_reward_scales": {"heavy": 2.0}},
            "task_reward_scales: no task heavy; there are long$",
        ),
    ],
)
def test_bad_names(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)
