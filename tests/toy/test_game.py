import pytest
import torch

from mtl_bench.cli import main
from mtl_bench.methods.equal import Equal
from mtl_bench.methods.taskforce import TaskForce
from mtl_bench.toy.game import RATE, Game
from mtl_bench.toy.game_runs import LIMIT, LONG, UNEVEN, GameVariant, last, play, render
from mtl_bench.toy.references import (
    FirstOrder,
    Optimal,
    Random,
    _weights_within_bound,
)

POINTS_N2 = 2 * torch.rand(20, 2, generator=torch.Generator().manual_seed(0)).double() - 1


def test_losses_and_gradients_are_those_of_the_quadratics():
    game = Game()
    points_N2 = POINTS_N2.clone().requires_grad_()
    losses_NT = game.losses(points_N2)
    for t in range(3):
        apart_N2 = points_N2 - game.centres_T2[t]
        stretched_N2 = apart_N2 @ game.maps_T22[t].T
        expected_N = [1.0, 0.3, 0.1][t] / 2 * stretched_N2.square().sum(1)
        torch.testing.assert_close(losses_NT[:, t], expected_N)
        (gradient_N2,) = torch.autograd.grad(losses_NT[:, t].sum(), points_N2, retain_graph=True)
        torch.testing.assert_close(game.gradients(points_N2)[:, t], gradient_N2)


def test_taskforce_is_rewarded_for_what_it_did():
    game, method = Game(), TaskForce(3, batch_size=4, lambda_g=0.0)
    levels = [game.log_loss(game.theta_2.detach()[None]).item()]
    for _ in range(6):
        _, diagnostics = game.step(method)
        levels.append(game.log_loss(game.theta_2.detach()[None]).item())
        if len(levels) > 2:
            assert diagnostics["reward"] == pytest.approx(levels[-3] - levels[-2], rel=1e-6)


def test_noise_changes_losses_and_gradients_together():
    games = [Game(noise=noise, seed=3) for noise in (0.0, 0.5, 0.5)]
    for game in games:
        game.play(Equal(3), 30)
    assert not torch.equal(games[0].theta_2, games[1].theta_2)
    assert torch.equal(games[1].theta_2, games[2].theta_2)
    for point_2, shifts_T2 in zip(POINTS_N2, POINTS_N2.view(-1, 1, 2), strict=True):
        moved = games[0].losses((point_2 - shifts_T2[0])[None])
        torch.testing.assert_close(games[0].losses(point_2[None], shifts_T2), moved)


def discounted_return(game, method, steps=80):
    start = game.log_loss(game.theta_2.detach()[None])
    levels_N = torch.cat([start, game.play(method, steps).log_losses_N])
    rewards_N = levels_N[:-1] - levels_N[1:]
    return (0.95 ** torch.arange(steps) * rewards_N).sum().item()


class Constant(Equal):
    def __init__(self, weights_T):
        super().__init__(len(weights_T))
        self.weights_T = weights_T

    def weights(self, losses_T, gram_TT=None):
        return self.weights_T


def test_nothing_constant_beats_the_optimum():
    game = Game()
    best = discounted_return(game, Optimal(game))
    constant = [discounted_return(Game(), Constant(w)) for w in _weights_within_bound(3, 3)]
    assert best > max(constant) - 1e-3
    assert best > 0.05 + discounted_return(Game(), Equal(3))
    assert best > 0.05 + discounted_return(Game(), Random(3))


def test_without_a_future_the_optimum_is_the_best_next_step():
    game = Game()
    greedy = Optimal(game, gamma=0.0)
    for point_2 in POINTS_N2[:2]:
        game.theta_2.data = point_2.clone()
        levels = []
        for weights_T in greedy.choices_AT:
            other = Game()
            other.theta_2.data = point_2.clone()
            levels.append(other.play(Constant(weights_T), 1).log_losses_N.item())
        assert torch.equal(
            greedy.weights(torch.zeros(3)), greedy.choices_AT[torch.tensor(levels).argmin()]
        )


@pytest.mark.nightly
def test_agents_learn_to_do_better_than_equal_weights():
    played = play(GameVariant("", 0.0, {}), seeds=1, steps=1000)
    assert min(played.final_shares()) > 0.2
    (run,) = played.runs
    assert (last(run.log_losses_N) < played.equal).all()


@pytest.mark.nightly
def test_the_command_prints_a_table_and_writes_a_picture(tmp_path, capsys):
    assert main(["game", "steps=110", "seeds=1", f"paths.figures={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("| no noise |") == 1
    assert (tmp_path / "game.png").read_bytes().startswith(b"\x89PNG")
    assert "random weights" in (tmp_path / "game.svg").read_text()


def test_a_share_of_one_is_the_optimum_and_of_zero_equal_weights():
    played = play(GameVariant("x", 0.5, {}), seeds=1, steps=120)
    assert played.share(played.optimal) == 1
    assert played.share(played.equal) == 0
    assert "| x |" in render([played])


def test_each_task_has_a_noise_of_its_own():
    game, quiet = Game(noise=(0.0, 2.0, 0.0), seed=3), Game()
    for _ in range(200):
        game.step(Constant(torch.tensor([1.0, 0.0, 0.0])))
        quiet.step(Constant(torch.tensor([1.0, 0.0, 0.0])))
    torch.testing.assert_close(game.theta_2, quiet.theta_2)  # its noise is only in task 1
    for _ in range(5):
        game.step(Constant(torch.tensor([0.0, 1.0, 0.0])))
        quiet.step(Constant(torch.tensor([0.0, 1.0, 0.0])))
    assert not torch.allclose(game.theta_2, quiet.theta_2)


def test_the_first_order_policy_is_the_steepest_of_all_corners():
    game = Game(noise=0.3, seed=1)
    for point_2 in POINTS_N2[:5]:
        game.theta_2.data = point_2.clone()
        state = game.generator.get_state()
        weights_T, _ = game.step(FirstOrder(3))
        slopes = []
        for choice_T in _weights_within_bound(3, 5):
            game.theta_2.data = point_2.clone()
            game.generator.set_state(state)
            shifts_T2 = 0.3 * torch.randn((3, 2), generator=game.generator, dtype=torch.float64)
            losses_T = game.losses(game.theta_2[None], shifts_T2)[0]
            (slope_2,) = torch.autograd.grad(losses_T.log1p().sum(), [game.theta_2])
            game.generator.set_state(state)
            game.step(Constant(choice_T))
            slopes.append((slope_2 @ game.theta_2.grad).item())
        game.theta_2.data = point_2.clone()
        game.generator.set_state(state)
        game.step(Constant(weights_T))
        assert (slope_2 @ game.theta_2.grad).item() == pytest.approx(max(slopes))


def level(noise, rate, build, steps=400):
    """The mean log-loss of a run whose policy is built for its game."""
    game = Game(noise, 7, rate)
    return game.play(build(game), steps).log_losses_N.mean().item()


@pytest.mark.parametrize(
    ("noise", "rate", "wins"), [(0.0, RATE, True), (UNEVEN, LONG, False), (0.0, LIMIT, False)]
)
def test_following_the_slope_of_the_batch_wins_with_short_steps_alone(noise, rate, wins):
    """It overfits a batch that is mostly noise, and overshoots where the rate is at its limit."""
    equal = level(noise, rate, lambda game: Equal(3))
    steepest = level(noise, rate, lambda game: FirstOrder(3))
    assert abs(steepest - equal) > 0.01
    assert (steepest < equal) == wins
    # and there is something to gain
    assert level(noise, rate, lambda game: Optimal(game, gamma=0.0, grid=3)) < equal - 0.005


@pytest.mark.nightly
@pytest.mark.parametrize("learner", ["matd3", "bandit"])
def test_other_learners_learn_to_do_better_than_equal_weights(learner):
    """The optimum is at 0.35, equal weights are at 0.52."""
    method = TaskForce(3, learner=learner, gamma=0.0, noise_steps=200)
    steps = 1500 if learner == "bandit" else 800
    assert last(Game().play(method, steps).log_losses_N).mean() < 0.48
