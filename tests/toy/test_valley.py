"""PCGrad's valleys: the formula, and who gets through."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench import build_method
from mtl_bench.cli import main
from mtl_bench.toy.trajectories import trajectory
from mtl_bench.toy.valley import OFFSET, STARTS, bottoms, losses

COORDINATES = st.floats(-6, 6)


@given(COORDINATES, COORDINATES)
def test_losses_are_the_papers(x, y):
    first, second = losses(torch.tensor([x, y], dtype=torch.float64))
    assert first.item() == pytest.approx(
        20 * (math.log(max(abs(0.5 * x + math.tanh(y)), 0.000005)) + OFFSET), rel=1e-9, abs=1e-9
    )
    assert second.item() == pytest.approx(
        25 * (math.log(max(abs(0.5 * x - math.tanh(y) + 2), 0.000005)) + OFFSET), rel=1e-9, abs=1e-9
    )
    assert min(first, second) > 0


def test_each_loss_is_smallest_along_its_bottom():
    along_N = torch.linspace(-4, 4, 41, dtype=torch.float64)
    for number, across_N in enumerate(bottoms(along_N)):
        at, beside = (
            losses(torch.stack([across_N + shift, along_N], dim=1))[number] for shift in (0, 1e-3)
        )
        torch.testing.assert_close(at, torch.full_like(at, at[0]))
        assert (beside > at + 20).all()


def through(name):
    """Return whether a path from near the start gets beyond θ_2 = 0.5, for three beginnings."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for seed in range(3):
        shift_2 = 1e-3 * torch.randn(2, generator=generator)
        start = tuple((torch.tensor(STARTS[0]) + shift_2).tolist())
        points_N2 = trajectory(build_method(name, 2, seed=seed), start, losses, 600)
        found.append(bool((points_N2[:, 1] > 0.5).any()))
    return found


def test_adam_stalls_in_the_first_valley_and_pcgrad_passes():
    assert through("ls") == [False] * 3
    assert through("pcgrad") == [True] * 3


@pytest.mark.nightly
def test_the_command_draws_the_valleys(tmp_path, capsys):
    words = ["toy", "landscape=valley", "steps=3", f"paths.figures={tmp_path}"]
    assert main(words) == 0
    written = capsys.readouterr().out.split()
    assert written == [f"{tmp_path}/toy_valley.png", f"{tmp_path}/toy_valley.svg"]
    picture = (tmp_path / "toy_valley.svg").read_text()
    assert all(name in picture for name in ("PCGrad", "NashMTL", "bottom of the first valley"))


def test_another_landscape_is_refused(capsys):
    assert main(["toy", "landscape=hill"]) == 2
    assert "landscape=hill" in capsys.readouterr().err
