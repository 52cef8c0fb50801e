"""Agents on recorded Gram matrices: the yardstick, and that they learn."""

import math

import numpy as np
import pytest
import torch

from mtl_bench.cli import main
from mtl_bench.toy import recorded_grams
from tests.golden.cells import ROOT
from tests.nightly import gate


@pytest.fixture(scope="module")
def states():
    return recorded_grams.find_states(ROOT / "results")


def test_states_are_those_of_the_step_log(states):
    assert states.grams_STT.shape == (9000, 11, 11)
    assert (states.losses_ST > 0).all()
    units_STT = states.units_STT
    torch.testing.assert_close(units_STT, units_STT.mT)
    diagonals = units_STT.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonals, torch.ones_like(diagonals))
    assert torch.linalg.eigvalsh(states.units_STT[::100]).min() > -1e-5
    assert torch.equal(states.at(9001)[1], states.grams_STT[1])


def test_no_weights_gain_more_than_the_best(states):
    units_STT = states.units_STT[::450]
    best_S = recorded_grams.best_gains(units_STT)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        actions_ST = 2 * torch.rand(len(best_S), 11, generator=generator).double() - 1
        assert (recorded_grams.gains(actions_ST.softmax(1), units_STT) <= best_S + 1e-9).all()
    equal_ST = torch.full((len(best_S), 11), 1 / 11, dtype=torch.float64)
    assert recorded_grams.gains(equal_ST, units_STT).abs().max() < 1e-12


def test_constant_weights_are_the_best_of_those_that_every_state_has(states):
    units_STT = states.units_STT[::450]
    constant_S = recorded_grams.best_gains(units_STT, constant=True)
    assert 0 < constant_S.mean() < recorded_grams.best_gains(units_STT).mean()
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        actions_T = 2 * torch.rand(11, generator=generator).double() - 1
        weights_ST = actions_T.softmax(0).expand(len(units_STT), -1)
        assert recorded_grams.gains(weights_ST, units_STT).mean() <= constant_S.mean() + 1e-9


def test_the_best_weights_of_a_plane_are_known():
    """Unit gradients at 0 and a right angle and one between: G bisects the outer ones."""
    angles = np.array([0.0, math.pi / 4, math.pi / 2])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    unit_TT = torch.from_numpy(rows @ rows.T)[None]
    assert recorded_grams.best_gains(unit_TT).item() == pytest.approx(0, abs=1e-9)
    lopsided = rows[[0, 0, 2]]  # twice the same one: the other should weigh more
    unit_TT = torch.from_numpy(lopsided @ lopsided.T)[None]
    grid = np.linspace(-1, 1, 401)
    weights = [torch.tensor([0.0, 0.0, a]).double().softmax(0) for a in 2 * grid]
    found = recorded_grams.gains(torch.stack(weights), unit_TT.expand(401, -1, -1)).max().item()
    assert recorded_grams.best_gains(unit_TT).item() == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "steps", "share"), gate(1, [("maddpg", 1500, 0.1), ("bandit", 2000, 0.2)])
)
def test_agents_learn_the_nash_reward(states, name, steps, share):
    """Three times as much and more within 6,000 steps, see docs/game.md."""
    played = recorded_grams.play(states, recorded_grams.VARIANTS[name], 0, steps)
    assert played.share > share
    assert played.better > 0.6


@pytest.mark.nightly
def test_the_command_prints_a_row_of_each(capsys):
    words = ["steps=80", "seeds=2", "only=matd3,bandit", f"paths.results={ROOT / 'results'}"]
    assert main(["grams", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| matd3", "| bandit"]


def test_what_there_is_not_is_named(tmp_path, capsys):
    assert main(["grams", f"paths.results={tmp_path}"]) != 0
    assert "has no finished run of profile=mini" in capsys.readouterr().err
    assert main(["grams", "only=ppo"]) == 2
    assert "only=ppo: must be some of maddpg," in capsys.readouterr().err
