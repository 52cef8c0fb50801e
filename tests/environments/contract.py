"""What every suite keeps, as functions of one that makes it."""

import io

import numpy as np
import pytest
import torch


def actions_of(suite, steps, seed=0):
    """Return random actions for so many steps, (n, T, C, A)."""
    shape = (steps, len(suite.tasks), suite.copies, suite.action_dim)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def follow(suite, actions_nTCA):
    """Make steps and return observations, rewards and successes of each."""
    outcomes = [suite.step(actions) for actions in actions_nTCA]
    return tuple(np.stack(column) for column in zip(*outcomes, strict=True))


def episode(suite, actions_nTCA):
    """Return an episode's first observations and what each step led to."""
    return suite.reset(), *follow(suite, actions_nTCA)


def equal(left, right):
    """Tell whether arrays are equal to the last bit."""
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(left, right, strict=True)
    )


def through_file(state):
    """Return a state as a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def check_shapes(suite):
    """An episode has the promised shapes and types, and ends when its time is over."""
    first, observations, rewards, successes = episode(suite, actions_of(suite, suite.horizon))
    sides = (len(suite.tasks), suite.copies)
    assert first.shape == (*sides, suite.observation_dim)
    assert observations.shape == (suite.horizon, *sides, suite.observation_dim)
    assert rewards.shape == successes.shape == (suite.horizon, *sides)
    assert [a.dtype for a in (first, observations, rewards, successes)] == ["f4", "f4", "f4", "?"]
    with pytest.raises(ValueError, match="reset"):
        suite.step(actions_of(suite, 1)[0])


def check_restore(make, done):
    """A suite restored in the middle of its second episode goes on as the other does."""
    suite = make()
    horizon = suite.horizon
    episode(suite, actions_of(suite, horizon, seed=1))
    actions = actions_of(suite, horizon, seed=2)
    _, observations, _, _ = episode(suite, actions[:done])
    other = make()
    episode(other, actions_of(suite, 1, seed=4))  # leaves no trace
    restored = other.restore(through_file(suite.state_dict()), actions[:done])
    assert np.array_equal(restored, observations[-1])
    assert equal(follow(suite, actions[done:]), follow(other, actions[done:]))
    third = actions_of(suite, horizon, seed=3)
    assert equal(episode(suite, third), episode(other, third))


def check_seeds(make):
    """Episodes depend on the seed and the purpose, and differ between copies and in time."""
    suite = make(seed=0)
    actions = actions_of(suite, 2)
    first = episode(suite, actions)
    assert equal(first, episode(make(seed=0), actions))
    for other in (make(seed=1), make(seed=0, purpose="evaluation"), suite):
        again = episode(other, actions)
        assert (first[0] != again[0]).any(axis=(1, 2)).all(), "every task begins differently"
