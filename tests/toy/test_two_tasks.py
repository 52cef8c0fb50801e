import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench import build_method
from mtl_bench.cli import main
from mtl_bench.toy import two_tasks, valley
from mtl_bench.toy.trajectories import all_trajectories, trajectory
from mtl_bench.toy.two_tasks import OFFSET, STARTS, losses, pareto_front

COORDINATES = st.floats(-10, 10)


def first_loss(x, y):
    """The first loss of CAGrad's appendix in plain numbers, unscaled."""
    if y >= 0:
        return math.tanh(y / 2) * (math.log(max(abs((-x - 7) / 2 - math.tanh(-y)), 5e-6)) + 6)
    return math.tanh(-y / 2) * (((-x + 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20)


@given(COORDINATES, COORDINATES)
def test_losses_are_the_formula_and_its_mirror_image(x, y):
    first, second = losses(torch.tensor([x, y], dtype=torch.float64), scale=0.5)
    assert first.item() == pytest.approx(0.5 * (first_loss(x, y) + OFFSET), rel=1e-9)
    assert second.item() == pytest.approx(first_loss(-x, y) + OFFSET, rel=1e-9)
    assert min(first, second) > 0


@given(COORDINATES, COORDINATES)
def test_no_point_is_better_than_the_front_in_both_losses(x, y):
    front_first_N, front_second_N = losses(pareto_front())
    first, second = losses(torch.tensor([x, y], dtype=torch.float64))
    assert not ((first < front_first_N - 1e-6) & (second < front_second_N - 1e-6)).any()


def test_gradients_on_the_front_are_opposed():
    points_N2 = pareto_front(21)[1:-1].requires_grad_()
    one, other = (
        torch.autograd.grad(loss_N.sum(), points_N2, retain_graph=True)[0]
        for loss_N in losses(points_N2)
    )
    cosines_N = torch.nn.functional.cosine_similarity(one, other)
    torch.testing.assert_close(cosines_N, -torch.ones_like(cosines_N))


def end(name, start, **fields):
    return trajectory(build_method(name, 2, **fields), start, losses, 300)[-1].tolist()


def test_the_sum_of_losses_goes_to_its_own_minimum():
    # of u L_1 + (1 - u) L_2 with u = 0.1 / 1.1: theta_1 = 14 u - 7, near the second task's end
    assert end("ls", STARTS[3]) == pytest.approx([14 / 11 - 7, -8.41], abs=0.1)


@pytest.mark.parametrize("name", ["nashmtl", "imtl"])
def test_methods_blind_to_scale_keep_to_the_middle(name):
    assert end(name, STARTS[1]) == pytest.approx([0.0, -8.355], abs=0.05)


@pytest.mark.parametrize("start", [STARTS[0], STARTS[4]])
def test_the_bargaining_solution_ends_inside_the_front(start):
    across, along = end("nashmtl", start)
    assert abs(across) < 6
    assert along == pytest.approx(-8.4, abs=0.15)


@pytest.mark.nightly
@pytest.mark.parametrize("landscape", [two_tasks, valley])
def test_every_method_moves_and_stays_finite(landscape):
    starts = landscape.STARTS
    for name, points in all_trajectories(landscape.losses, starts, steps=5):
        assert points.shape == (len(starts), 6, 2), name
        assert points.isfinite().all(), name
        assert (points[:, -1] != points[:, 0]).all(), name
        torch.testing.assert_close(points[:, 0].tolist(), [list(start) for start in starts])


@pytest.mark.nightly
def test_the_command_writes_two_pictures(tmp_path, capsys):
    assert main(["toy", "steps=3", f"paths.figures={tmp_path}/new"]) == 0
    written = capsys.readouterr().out.split()
    assert written == [f"{tmp_path}/new/toy.png", f"{tmp_path}/new/toy.svg"]
    assert (tmp_path / "new/toy.png").read_bytes().startswith(b"\x89PNG")
    picture = (tmp_path / "new/toy.svg").read_text()
    assert all(name in picture for name in ("TaskForce", "NashMTL", "Pareto front", "θ₁"))
