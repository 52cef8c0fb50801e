import io
import statistics
from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.agents.ring import FIRST_ROWS
from mtl_bench.errors import RecordError
from mtl_bench.methods.taskforce.replay_buffer import Replay, RewardMoments

FINITE = st.floats(-1e120, 1e120)


def transition(k, reward=None):
    """A transition of T = 2 agents whose every number tells which one it is."""
    o = torch.full((2, 3), float(k))
    return o, torch.full((2,), k / 10), float(k if reward is None else reward), o + 1


def filled(count, capacity):
    replay = Replay(2, capacity)
    for k in range(count):
        replay.push(*transition(k))
    return replay


@given(rewards=st.lists(FINITE, min_size=1, max_size=30), capacity=st.integers(1, 8))
def test_moments_are_those_of_the_latest_rewards(rewards, capacity):
    replay = Replay(2, capacity)
    latest = deque(maxlen=capacity)
    for k, reward in enumerate(rewards):
        replay.push(*transition(k, reward))
        latest.append(reward)
        assert sorted(replay.contents().rewards.tolist()) == sorted(latest)
        mean, deviation = replay._moments[0].mean(), replay.reward_deviation()
        assert mean == pytest.approx(statistics.mean(latest), rel=1e-14, abs=0)
        assert deviation == pytest.approx(statistics.pstdev(latest), rel=1e-14, abs=1e-160)


def test_an_evicted_giant_leaves_nothing_behind():
    moments = RewardMoments()
    for value in (0.1, 0.2, 1e100):
        moments.add(value)
    moments.add(1e100, sign=-1)
    assert moments.mean() == statistics.mean([0.1, 0.2])
    assert moments.deviation() == pytest.approx(0.05, rel=1e-12)


def test_ring_overwrites_the_oldest():
    contents = filled(5, capacity=3).contents()
    assert contents.rewards.tolist() == [3, 4, 2]
    assert contents.observations_BTO[:, 0, 0].tolist() == [3, 4, 2]
    assert contents.next_observations_BTO[:, 1, 2].tolist() == [4, 5, 3]
    torch.testing.assert_close(contents.actions_BT[:, 0], torch.tensor([0.3, 0.4, 0.2]))


def test_memory_grows_with_use_and_stops_at_capacity():
    replay = filled(1, capacity=100_000)
    assert len(replay._rows.rewards) == FIRST_ROWS
    replay = filled(2 * FIRST_ROWS + 10, capacity=2 * FIRST_ROWS + 5)
    assert len(replay._rows.rewards) == len(replay) == 2 * FIRST_ROWS + 5
    expected = [*range(2 * FIRST_ROWS + 5, 2 * FIRST_ROWS + 10), *range(5, 2 * FIRST_ROWS + 5)]
    assert replay.contents().rewards.tolist() == expected


def test_samples_are_whole_uniform_and_standardised():
    replay = filled(8, capacity=6)
    batch = replay.sample(6000, torch.Generator().manual_seed(0))
    numbers = batch.observations_BTO[:, 0, 0]
    torch.testing.assert_close(batch.actions_BT[:, 1], numbers / 10)
    torch.testing.assert_close(batch.next_observations_BTO[:, 1, 1], numbers + 1)
    stored = torch.arange(2.0, 8.0)
    expected = (numbers - stored.mean()) / stored.std(correction=0)
    assert batch.rewards.dtype == torch.float32
    torch.testing.assert_close(batch.rewards, expected)
    values, counts = numbers.unique(return_counts=True)
    assert values.tolist() == stored.tolist()
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # chi-square, 5 degrees: p = 0.001


def test_equal_rewards_become_zeros():
    replay = Replay(2, 4)
    for k in range(3):
        replay.push(*transition(k, reward=0.1))
    assert replay.sample(5, torch.Generator()).rewards.tolist() == [0] * 5


@given(
    rewards=st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20), capacity=st.integers(1, 8)
)
def test_rewards_of_each_task_are_standardised_on_their_own(rewards, capacity):
    both = Replay(2, capacity, own_rewards=True)
    apart = [Replay(2, capacity) for _ in range(2)]
    for k, pair in enumerate(rewards):
        o, actions, _, following = transition(k)
        both.push(o, actions, torch.tensor(pair, dtype=torch.float64), following)
        for replay, reward in zip(apart, pair, strict=True):
            replay.push(o, actions, reward, following)
    restored = Replay(2, capacity, own_rewards=True)
    restored.load_state_dict(both.state_dict())
    expected = [r.sample(5, torch.Generator().manual_seed(0)).rewards for r in apart]
    for replay in (both, restored):
        sampled = replay.sample(5, torch.Generator().manual_seed(0)).rewards
        assert torch.equal(sampled, torch.stack(expected, dim=1))
        deviations = [r.reward_deviation() for r in apart]
        assert replay.reward_deviation() == statistics.fmean(deviations)


@pytest.mark.parametrize("count", [0, 2, 5, 6, 13])
def test_saved_and_loaded_it_goes_on_in_step(count):
    original = filled(count, capacity=5)
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored = filled(3, capacity=5)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for k in range(count, count + 4):
        for replay in (original, restored):
            replay.push(*transition(k))
        pairs = zip(original.contents(), restored.contents(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        batches = [
            replay.sample(7, torch.Generator().manual_seed(k)) for replay in (original, restored)
        ]
        assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))


def test_saved_state_holds_the_filled_rows_only():
    replay = Replay(40, 100_000)
    replay.push(torch.zeros(40, 41), torch.zeros(40), 1.0, torch.zeros(40, 41))
    file = io.BytesIO()
    torch.save(replay.state_dict(), file)
    assert file.tell() < 30_000


def test_loading_does_not_alias_the_snapshot():
    snapshot = filled(3, capacity=3).state_dict()
    restored = Replay(2, 3)
    restored.load_state_dict(snapshot)
    restored.push(*transition(99))
    assert snapshot["_extra_state"]["rows"][2].tolist() == [0, 1, 2]


def test_another_capacity_is_refused():
    with pytest.raises(RecordError, match=r"buffer_size.*holds 5 transitions, this one 6"):
        Replay(2, 6).load_state_dict(Replay(2, 5).state_dict())


@pytest.mark.parametrize(("count", "rewards"), [(2, [0, 1]), (5, [2, 3, 4]), (9, [6, 7, 8])])
def test_the_latest_come_in_their_order_and_standardised(count, rewards):
    batch = filled(count, capacity=4).latest(3)
    assert (batch.actions_BT[:, 0] * 10).round().tolist() == rewards
    stored = torch.arange(max(count - 4, 0), count).float()
    expected = (torch.tensor(rewards) - stored.mean()) / stored.std(correction=0)
    torch.testing.assert_close(batch.rewards, expected)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_the_last_transition_can_be_taken_back(count):
    replay, other = filled(count, capacity=4), filled(count, capacity=4)
    take_back = replay.keep()
    replay.push(*transition(99))
    take_back()
    replay.keep()()  # nothing has been stored since
    for k in range(count, count + 6):
        for mine, theirs in zip(replay.contents(), other.contents(), strict=True):
            assert torch.equal(mine, theirs)
        assert replay.reward_deviation() == other.reward_deviation()
        for each in (replay, other):
            each.push(*transition(k))
