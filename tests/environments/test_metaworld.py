"""Meta-World's tasks against Meta-World's own way of making them."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mtl_bench.config.signatures import schema_of
from mtl_bench.environments.metaworld import ALL_TASKS, BENCHMARKS, MT10, MetaWorld
from mtl_bench.errors import ConfigError
from tests.environments import contract

metaworld = pytest.importorskip("metaworld", reason="needs the extra rl")

# objects of the first two are placed by the simulator before it knows the goal
TASKS = ("dial-turn", "handle-press", "push")


def make(**settings):
    return MetaWorld(**{"tasks": ["handle-press", "reach"], "horizon": 6, "seed": 0} | settings)


def goal_of(observations):
    return observations[..., 36:]


def test_names_with_their_version_are_the_same_tasks():
    assert make(tasks=["reach-v3", "push"]).tasks == ("reach", "push")


def test_goals_can_be_tasks():
    """Each has one goal in every episode, and it is the one that the task has under its number."""
    suite = make(tasks="push-v3*3", goals=50)
    assert suite.tasks == ("push-goal0", "push-goal1", "push-goal2")
    first, again = suite.reset(), suite.reset()
    assert np.array_equal(first, again)
    assert len({tuple(goal) for goal in goal_of(first)[:, 0].tolist()}) == 3
    one = make(tasks=["push"], goals=1).reset()
    assert np.array_equal(one[0], first[0])
    (alone,) = make(tasks=["push-goal2"]).reset()
    assert np.array_equal(alone, first[2])


@pytest.mark.parametrize(
    ("tasks", "told"),
    [("pull*3", "no task pull-goal0"), ("push*x", r"no task push\*x"), ("push*0", "there is none")],
)
def test_goals_of_no_task_are_refused(tasks, told):
    with pytest.raises(ConfigError, match=told):
        make(tasks=tasks)


def test_names_are_those_of_metaworld():
    assert [f"{task}-v3" for task in ALL_TASKS] == list(metaworld.ALL_V3_ENVIRONMENTS)
    assert [f"{task}-v3" for task in MT10] == list(metaworld.env_dict.MT10_V3)
    for tasks in BENCHMARKS.values():
        assert len(set(tasks)) == len(tasks)


@pytest.mark.parametrize("task", [*TASKS, "drawer-open"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_numbers_are_those_of_metaworld_whatever_came_before(task, version):
    suite = make(tasks=[task], horizon=40, reward_version=version)
    contract.episode(suite, contract.actions_of(suite, 40, seed=1))
    actions = contract.actions_of(suite, 40, seed=2)
    first, observations, rewards, successes = contract.episode(suite, actions)

    official = metaworld.ALL_V3_ENVIRONMENTS[f"{task}-v3"](reward_function_version=version)
    data = {
        "rand_vec": suite._environments[0]._last_rand_vec,
        "env_cls": type(official),
        "partially_observable": False,
    }
    official.set_task(metaworld.Task(env_name=f"{task}-v3", data=pickle.dumps(data)))
    expected, _ = official.reset()
    assert np.array_equal(first[0, 0], expected.astype(np.float32))
    for number, action in enumerate(actions):
        expected, reward, _, _, info = official.step(action[0, 0])
        assert np.array_equal(observations[number, 0, 0], expected.astype(np.float32))
        assert rewards[number, 0, 0] == np.float32(reward)
        assert successes[number, 0, 0] == bool(info["success"])


def test_a_hand_that_moves_to_its_goal_succeeds():
    suite = make(tasks=["reach"], horizon=150)
    observations, succeeded = suite.reset(), False
    while suite.steps < suite.horizon:
        move = 5 * (goal_of(observations) - observations[..., :3])
        closed = np.zeros_like(move[..., :1])
        observations, rewards, successes = suite.step(np.concatenate((move, closed), axis=-1))
        succeeded |= bool(successes[0, 0])
    assert succeeded
    assert rewards[0, 0] > 9


def test_fixed_goals_are_shared_by_copies_purposes_and_other_suites():
    suite = make(copies=2, goals=1)
    first = suite.reset()
    assert goal_of(first).any(axis=-1).all()
    assert np.array_equal(first[:, 0], first[:, 1])
    assert np.array_equal(first, suite.reset())
    assert np.array_equal(first, make(copies=2, goals=1, purpose="evaluation").reset())
    assert np.array_equal(first[1:, :1], make(tasks=["reach"], goals=1).reset())
    other = make(goals=1, seed=1).reset()
    assert (goal_of(first[:, :1]) != goal_of(other)).any(axis=(1, 2)).all()
    after = suite.step(contract.actions_of(suite, 1)[0]).observations
    assert np.array_equal(goal_of(after), goal_of(first))


def test_goals_are_as_many_as_asked_for():
    def count(goals, episodes=12):
        suite = make(tasks=["reach"], goals=goals)
        return len({tuple(goal_of(suite.reset())[0, 0]) for _ in range(episodes)})

    assert count(2) == 2
    assert count(None) == 12


def test_nothing_outside_the_suite_is_touched_or_matters():
    goals = metaworld._N_GOALS
    state = np.random.get_state()  # noqa: NPY002
    actions = contract.actions_of(make(), 2)
    expected = contract.episode(make(), actions)
    assert goals == metaworld._N_GOALS
    assert all(map(np.array_equal, np.random.get_state(), state))  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    found = contract.episode(make(), actions)
    np.random.set_state(state)  # noqa: NPY002
    assert contract.equal(expected, found)


def test_training_rewards_are_divided_by_a_running_deviation():
    raw, suite = make(reward_version="v1"), make(reward_version="v1", reward_rate=0.1)
    tested = make(reward_version="v1", reward_rate=0.1, purpose="evaluation", goals=1)
    mean, variance = np.zeros(2), np.ones(2)
    for seed in range(2):
        actions = contract.actions_of(raw, 6, seed)
        rewards, found = (contract.episode(each, actions)[2][:, :, 0] for each in (raw, suite))
        for raw_T, found_T in zip(rewards.astype(float), found, strict=True):
            mean = 0.9 * mean + 0.1 * raw_T
            variance = 0.9 * variance + 0.1 * (raw_T - mean) ** 2
            np.testing.assert_allclose(found_T, raw_T / np.sqrt(variance), rtol=1e-5)
    expected = make(reward_version="v1", purpose="evaluation", goals=1)
    pair = (contract.episode(each, actions)[2] for each in (expected, tested))
    assert np.array_equal(*pair)


def test_shapes():
    contract.check_shapes(make(copies=2))


def test_seeds():
    contract.check_seeds(lambda **settings: make(goals=None, **settings))


@pytest.mark.parametrize("done", [1, 20, 30])
def test_restored_in_the_middle_of_an_episode(done):
    contract.check_restore(lambda: make(tasks=TASKS, horizon=30, reward_rate=0.01), done)


ELSEWHERE = """
import sys, numpy as np, torch
from mtl_bench.environments.metaworld import MetaWorld
saved = torch.load(sys.argv[1], weights_only=True)
suite = MetaWorld(saved["tasks"], horizon=40, seed=0)
before, after = (actions.numpy() for actions in saved["actions"])
observations = [suite.restore(saved["state"], before)]
observations += [suite.step(actions).observations for actions in after]
torch.save(torch.from_numpy(np.stack(observations)), sys.argv[2])
"""


def test_restored_in_another_process(tmp_path):
    suite = make(tasks=TASKS, horizon=40)
    suite.reset()
    actions = contract.actions_of(suite, 40)
    _, before, _, _ = contract.episode(suite, actions[:25])
    saved = {
        "tasks": list(TASKS),
        "state": suite.state_dict(),
        "actions": [torch.from_numpy(part) for part in (actions[:25], actions[25:])],
    }
    torch.save(saved, tmp_path / "saved")
    after, _, _ = contract.follow(suite, actions[25:])
    command = [sys.executable, "-c", ELSEWHERE, tmp_path / "saved", tmp_path / "found"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found", weights_only=True).numpy()
    assert np.array_equal(found, np.concatenate([before[-1:], after]))


def test_every_setting_can_be_configured():
    built_with = frozenset({"seed", "purpose"})
    schema = schema_of(MetaWorld, built_with)
    schema(tasks="mt4", horizon=150, goals=None, reward_version="v1", reward_scale=0.1)
    for bad in ({"goals": 0}, {"reward_version": "v3"}):
        with pytest.raises(ValidationError):
            schema(**bad)


def test_without_metaworld(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(ConfigError, match=r"pip install 'mtl_bench\[rl\]'"):
        make()


@pytest.mark.parametrize("tasks", ["mt11", ["reach", "mt10"], ["reach-v2"]])
def test_bad_names(tasks):
    with pytest.raises(ConfigError, match="tasks: no task "):
        make(tasks=tasks)
