"""The replay buffer of episodes: what is drawn from it, and what its files bring back."""

import numpy as np
import pytest
import torch

from mtl_bench.algorithms.sac.episode_replay import EpisodeReplay
from tests.training.runs import differences

TASKS, COPIES, HORIZON = 3, 2, 4


class Shapes:
    """What a buffer reads of a suite."""

    tasks, copies, horizon, observation_dim, action_dim = ("a", "b", "c"), 2, 4, 2, 1


def step(replay, number):
    """Make the vector step of a number; observations and rewards tell step, task and copy."""
    episode, at = divmod(number, HORIZON)
    if at == 0:
        replay.begin(observation(episode, 0))
    actions = np.full((TASKS, COPIES, 1), number, dtype=np.float32)
    replay.append(actions, observation(episode, at)[..., 1], observation(episode, at + 1))


def observation(episode, at):
    """(100 episode + at, 10 task + copy) for each task and copy."""
    tasks, copies = np.meshgrid(np.arange(TASKS), np.arange(COPIES), indexing="ij")
    return np.stack([np.full((TASKS, COPIES), 100 * episode + at), 10 * tasks + copies], -1).astype(
        np.float32
    )


def filled(steps, capacity=16, folder=None):
    replay = EpisodeReplay(Shapes, capacity)
    if folder is not None:
        replay.keep_in(folder)
    for number in range(steps):
        step(replay, number)
    return replay


@pytest.mark.parametrize("steps", [1, 3, 4, 11, 12, 13, 22, 24])
def test_every_transition_that_is_kept_is_drawn_as_often_as_another(steps):
    replay = filled(steps)  # three slots: 16 transitions are two episodes of two copies
    draws = replay.sample(3000, torch.Generator().manual_seed(0))
    for t in range(TASKS):
        assert (draws.observations_TBO[t, :, 1] // 10 == t).all()
    numbers = draws.actions_TBA[..., 0].long()
    expected = 100 * (numbers // HORIZON) + numbers % HORIZON
    assert torch.equal(draws.observations_TBO[..., 0].long(), expected)
    assert torch.equal(draws.next_TBO[..., 0], draws.observations_TBO[..., 0] + 1)
    assert torch.equal(draws.next_TBO[..., 1], draws.observations_TBO[..., 1])
    assert torch.equal(draws.rewards_TB, draws.observations_TBO[..., 1])
    oldest = max(0, -(-steps // HORIZON) - 3) * HORIZON
    assert numbers.unique().tolist() == list(range(oldest, steps))
    kinds = 2 * (steps - oldest)
    cells = numbers * 2 + (draws.rewards_TB % 10).long()
    for t in range(TASKS):
        counts = cells[t].unique(return_counts=True)[1]
        assert len(counts) == kinds
        share = 3000 / kinds
        assert (counts - share).abs().max() < 6 * share**0.5


def same(first, second):
    states = [
        [*replay.running(), *replay.sample(200, torch.Generator().manual_seed(1))]
        for replay in (first, second)
    ]
    return differences(*states) == []


@pytest.mark.parametrize("steps", [1, 4, 10, 12, 30, 41])
@pytest.mark.parametrize("every", [1, 5, 8])
def test_files_and_state_bring_it_back(steps, every, tmp_path):
    replay = filled(0, folder=tmp_path)
    for number in range(steps):
        step(replay, number)
        if number % every == 0:
            replay.write()
    replay.write()
    state = replay.state_dict()
    assert replay.damaged(state) == []
    other = EpisodeReplay(Shapes, 16)
    other.keep_in(tmp_path)
    other.load_state_dict(state)
    assert same(replay, other)
    for number in range(steps, steps + 9):
        step(replay, number)
        step(other, number)
    assert same(replay, other)


def test_a_file_is_written_once_and_goes_when_no_checkpoint_needs_it(tmp_path):
    replay = filled(0, folder=tmp_path)
    states, seen = [], {}
    for number in range(60):
        step(replay, number)
        if number % HORIZON == 1:
            replay.write()
            states.append(replay.state_dict())
            for state in states[-2:]:  # those that a run keeps
                assert replay.damaged(state) == []
            for path in (tmp_path / "replay").glob("*"):
                assert seen.setdefault(path.name, path.read_bytes()) == path.read_bytes()
    assert len(list((tmp_path / "replay").iterdir())) < 7
    assert len(seen) == 14


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_named(harm, tmp_path):
    replay = filled(9, folder=tmp_path)
    replay.write()
    state = replay.state_dict()
    harm(tmp_path / "replay" / "00000000.npy")
    assert replay.damaged(state) == ["replay/00000000.npy"]
