"""Zeros, cancelling gradients and the bounds at which an answer counts as a fallback."""

import sys

import numpy as np
import pytest

from mtl_bench.solvers import min_norm, nash, solve_cagrad, solve_min_norm, solve_nash
from mtl_bench.solvers.active_set import SimplexProblem
from tests.solvers.test_solvers import CASES, gradients

ZEROS = np.zeros((3, 3))


def told(solution):
    """Return what a solver says of itself."""
    return solution.iterations, solution.residual, bool(solution.fallback)


def test_min_norm_without_any_gradient():
    solution = solve_min_norm(ZEROS)
    assert solution.weights_T.tolist() == [1 / 3] * 3
    assert told(solution) == (0, 0.0, True)


def test_nash_and_cagrad_without_any_gradient():
    nash = solve_nash(ZEROS)
    assert nash.weights_T.tolist() == [1.0] * 3
    assert told(nash) == (0, 0.0, True)
    for c in (0.4, 1.0):
        cagrad = solve_cagrad(ZEROS, c)
        assert cagrad.weights_T.tolist() == [1 / 3] * 3
        assert told(cagrad) == (0, 0.0, True)


def test_cagrad_without_a_ball_is_exact():
    for gram_TT in (np.eye(3), ZEROS):
        solution = solve_cagrad(gram_TT, 0.0)
        assert solution.weights_T.tolist() == [1 / 3] * 3
        assert told(solution) == (0, 0.0, False)


@pytest.mark.parametrize(("square", "cancelled"), [(1.4e-14, False), (0.8e-14, True)])
def test_cagrad_takes_a_mean_of_1e_14_for_none(square, cancelled):
    """Two gradients (1, e) and (-1, e), whose mean (0, e) has the square e^2."""
    gram_TT = np.array([[1 + square, -1 + square], [-1 + square, 1 + square]])
    solution = solve_cagrad(gram_TT, 0.4)
    assert bool(solution.fallback) == cancelled
    expected = 0.5 if cancelled else 0.7  # both directions are the mean itself
    np.testing.assert_allclose(solution.weights_T, expected, rtol=1e-3)


def test_cagrad_is_smoothed_where_opposed_gradients_let_it_reach_zero():
    """With 3 and -1 on a line and c = 2 the update vanishes: -1/2 = u / sqrt(u^2 + e)."""
    solution = solve_cagrad(np.array([[9.0, -3.0], [-3.0, 1.0]]), 2.0)
    root = np.sqrt(4 / 3 * 1e-10)
    beyond_T = solution.weights_T - 0.5
    assert beyond_T.sum() == pytest.approx(2 / root, rel=1e-3)
    assert beyond_T[0] / beyond_T.sum() == pytest.approx(0.25, rel=1e-3)
    assert not solution.fallback


def test_min_norm_of_a_gradient_of_zero_is_that_gradient():
    solution = solve_min_norm(np.diag([1.0, 0.0, 4.0]))
    np.testing.assert_allclose(solution.weights_T, [0, 1, 0], atol=1e-12)
    assert not solution.fallback


@pytest.mark.parametrize(
    ("gram", "nearest", "averse"),
    [
        ([[1, 0], [0, 1]], 1, 1),  # all tasks stay
        ([[1, 2], [2, 5]], 2, 2),  # the longer one leaves
        ([[1, -1], [-1, 1]], 1, 0),  # for CAGrad they cancel
        ([[1, 1], [1, 1]], 1, 1),  # either is the answer
        ([[1, 2], [2, 4]], 2, 1),  # MGDA begins with all, CAGrad with the shortest
    ],
    ids=["orthogonal", "longer", "opposed", "equal", "on a line"],
)
def test_iterations_are_the_systems_that_were_solved(gram, nearest, averse):
    gram_TT = np.array(gram, dtype=float)
    assert solve_min_norm(gram_TT).iterations == nearest
    assert solve_cagrad(gram_TT, 0.4).iterations == averse


@pytest.mark.parametrize(("residual", "fallback"), [(0.8e-6, False), (1.2e-6, True)])
def test_min_norm_is_a_fallback_above_a_millionth(residual, fallback, monkeypatch):
    """The search ends with the shorter of (1, 0) and (x, y), whose products are 1 and x."""
    searching = sys.modules[min_norm.SimplexProblem.__module__]
    monkeypatch.setattr(searching, "TOLERANCE", 1.0)
    norm = 2000.0
    x = 1 - residual * (norm + 1)
    solution = solve_min_norm(np.array([[1, x], [x, norm**2]]))
    assert solution.weights_T.tolist() == [1, 0]
    assert solution.residual == pytest.approx(residual)
    assert bool(solution.fallback) == fallback


@pytest.mark.parametrize(("steps", "fallback"), [(3, True), (4, False)])
def test_nash_that_took_too_many_steps_says_how_far_off_it_is(steps, fallback, monkeypatch):
    monkeypatch.setattr(nash, "MAX_STEPS", steps)
    gram_TT = np.array([[1, 0.5, 0], [0.5, 1, -0.5], [0, -0.5, 1]])
    solution = solve_nash(gram_TT)
    off = np.abs(solution.weights_T * (gram_TT @ solution.weights_T) - 1).max()
    assert solution.residual == pytest.approx(off, abs=1e-14)
    assert (off > 1e-6) == fallback
    assert solution.iterations == steps
    assert bool(solution.fallback) == fallback


def test_nash_near_where_newton_starts_takes_whole_steps():
    """Steps that square the error, where steps of 0.99 would divide it by 100."""
    solution = solve_nash(np.array([[1, 0.5, 0], [0.5, 1, -0.5], [0, -0.5, 1]]))
    assert solution.iterations == 5
    assert solution.residual < 1e-12


def test_nash_gives_a_gradient_of_zero_the_largest_weight_of_the_others():
    solution = solve_nash(np.diag([4.0, 0.0, 0.25]))
    np.testing.assert_allclose(solution.weights_T, [0.5, 2, 2])
    assert solution.fallback
    assert solution.residual < 1e-9


@pytest.mark.parametrize(("norm", "left_out"), [(1.5e-12, False), (0.8e-12, True)])
def test_nash_takes_a_norm_of_1e_12_for_zero(norm, left_out):
    solution = solve_nash(np.diag([1.0, norm**2]))
    assert bool(solution.fallback) == left_out
    np.testing.assert_allclose(solution.weights_T, [1, 1 if left_out else 1 / norm])


@pytest.mark.parametrize(("smallest", "raised"), [(1.5e-8, False), (0.5e-8, True)])
def test_nash_raises_eigenvalues_below_1e_8(smallest, raised):
    """Two gradients that all but cancel: x = 1 / sqrt(smallest eigenvalue)."""
    solution = solve_nash(np.array([[1.0, smallest - 1], [smallest - 1, 1.0]]))
    assert bool(solution.fallback) == raised
    expected = max(smallest, 1e-8) ** -0.5
    np.testing.assert_allclose(solution.weights_T, expected, rtol=1e-4)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_newton_needs_few_steps(case):
    rows_TP = gradients(*case)
    solution = solve_nash(rows_TP @ rows_TP.T)
    assert 1 <= solution.iterations <= 10
    assert 0 <= solution.residual < 1e-9


def test_newton_starts_at_the_solution_of_gradients_that_are_orthogonal_or_equal():
    assert solve_nash(np.eye(4)).iterations == 1
    equal = solve_nash(np.ones((4, 4)) + 1e-6 * np.eye(4))
    assert equal.iterations == 1
    np.testing.assert_allclose(equal.weights_T, 0.5, rtol=1e-5)


@pytest.mark.parametrize("others", [30, 200])
def test_newton_cuts_steps_that_would_leave_the_positive_numbers(others):
    """One gradient along what many have in common, of which they have little.

    The first full step would take its weight to -0.3 of what it is, or to -1.
    """
    shared = np.full((others, 1), 0.3)
    rows_TP = np.block([[np.ones((1, 1)), np.zeros((1, others))], [shared, np.eye(others)]])
    gram_TT = rows_TP @ rows_TP.T
    solution = solve_nash(gram_TT)
    assert (solution.weights_T > 0).all()
    np.testing.assert_allclose(solution.weights_T * (gram_TT @ solution.weights_T), 1, rtol=1e-9)
    assert solution.iterations <= 12


@pytest.mark.parametrize("share", [0.25, 0.3, 0.35])
def test_newton_cuts_a_step_that_would_overshoot(share):
    """Of what one gradient points along, 14 have a little; without the cut it takes 7 systems."""
    rows_TP = np.eye(15)
    rows_TP[1:, 0] = share
    assert solve_nash(rows_TP @ rows_TP.T).iterations <= 5


class Fruitless(SimplexProblem):
    """Asks for the longer of (1, 0) and (2, 1) at every look, though it leaves at once."""

    def __init__(self, factor):
        super().__init__(np.array([[1.0, 2.0], [2.0, 5.0]]))
        self.factor, self.residual, self.looks = factor, 0.1, 0

    def gradient(self, x_T):
        self.looks += 1
        assert self.looks < 2000
        self.residual *= self.factor
        short = self.residual * (self.norms_T[1] + float(self.norms_T @ x_T))
        return np.array([1.0, 1.0 - short]), 1.0


@pytest.mark.parametrize(
    ("factor", "goes_on"), [(1.0, False), (0.97, False), (0.96, True)], ids=["stuck", "slow", "not"]
)
def test_a_search_ends_whose_residual_does_not_fall_by_a_tenth_in_t_looks(factor, goes_on):
    problem = Fruitless(factor)
    weights_T, residual = problem.solve(0)
    assert weights_T.tolist() == [1, 0]
    assert problem.solved > 1000 if goes_on else problem.solved <= 12
    assert residual == pytest.approx(problem.residual)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_hundred_sweeps_leave_is_not_in_the_answer(seed):
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(100, 100)) + 0.5 * rng.normal(size=100)
    assert solve_min_norm(rows_TP @ rows_TP.T).residual < 2e-15
