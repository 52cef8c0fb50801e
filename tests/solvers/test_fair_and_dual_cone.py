"""The solvers of FairGrad and UPGrad where norms lie far apart, tasks are many, or none is left."""

from fractions import Fraction

import numpy as np
import pytest

from mtl_bench.solvers import dual_cone, fair, project_onto_dual_cone, solve_fair, solve_nash
from tests.solvers.test_far_apart import KINDS, far_apart, solve_exactly
from tests.solvers.test_solvers import CASES, gradients

ALPHAS = [0.5, 1.0, 2.0, 10.0]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fair_weights_satisfy_their_equation(case, alpha):
    rows_TP = gradients(*case)
    gram_TT = rows_TP @ rows_TP.T
    solution = solve_fair(gram_TT, alpha)
    assert not solution.fallback
    assert solution.iterations <= 100
    assert (solution.weights_T > 0).all()
    gains_T = gram_TT @ solution.weights_T
    np.testing.assert_allclose(gains_T * solution.weights_T ** (1 / alpha), 1, rtol=1e-8)


def test_rounding_errors_near_the_fair_weights_do_not_shorten_the_steps():
    """The order of the tasks changes the rounding errors and nothing else."""
    rows_TP = gradients(3, 11, 2, 2)
    for seed in range(8):
        shuffled_TP = np.random.default_rng(seed).permutation(rows_TP)
        assert solve_fair(shuffled_TP @ shuffled_TP.T, 10.0).iterations <= 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_fair_weights_of_norms_far_apart(kind, alpha):
    for seed in range(5):
        rows_TP = far_apart(kind, seed)
        solution = solve_fair(rows_TP @ rows_TP.T, alpha)
        assert np.isfinite(solution.weights_T).all()
        assert (solution.weights_T > 0).all()
        assert solution.residual < 1e-4


def test_fair_weights_that_are_not_found_are_finite_and_say_so():
    for seed in range(5):
        rows_TP = far_apart("1e8", seed)
        solution = solve_fair(rows_TP @ rows_TP.T, 0.1)
        assert np.isfinite(solution.weights_T).all()
        assert solution.fallback == (solution.residual > 1e-6)


def test_fair_weights_with_alpha_1_are_nashs():
    for case in CASES:
        rows_TP = gradients(*case)
        gram_TT = rows_TP @ rows_TP.T
        fair, nash = solve_fair(gram_TT, 1.0), solve_nash(gram_TT)
        np.testing.assert_allclose(fair.weights_T, nash.weights_T, rtol=1e-8)


def test_fair_weights_without_any_gradient():
    solution = solve_fair(np.zeros((3, 3)), 2.0)
    assert solution.weights_T.tolist() == [1.0] * 3
    assert (solution.iterations, solution.residual, solution.fallback) == (0, 0.0, True)
    one_left_out = solve_fair(np.diag([4.0, 0.0, 0.25]), 1.0)
    np.testing.assert_allclose(one_left_out.weights_T, [0.5, 2, 2])
    assert one_left_out.fallback


def assert_projected(gram_TT, solution):
    """The sum opposes no gradient, and it is the sum of the projections: see the next test."""
    norms_T = np.sqrt(gram_TT.diagonal())
    assert (solution.weights_T >= 1).all()
    size = solution.weights_T @ norms_T
    assert (gram_TT @ solution.weights_T / norms_T >= -1e-9 * size).all()
    assert solution.residual < 1e-9
    assert not solution.fallback


@pytest.mark.parametrize("case", CASES, ids=str)
def test_projections_satisfy_their_optimality_conditions(case):
    rows_TP = gradients(*case)
    assert_projected(rows_TP @ rows_TP.T, project_onto_dual_cone(rows_TP @ rows_TP.T))


@pytest.mark.parametrize("kind", KINDS)
def test_projections_of_norms_far_apart(kind):
    """Norms decide nothing about who meets whom: weights of unit gradients, scaled."""
    for seed in range(5):
        rows_TP = far_apart(kind, seed)
        rows_TP[0] -= 2 * rows_TP[1] * np.linalg.norm(rows_TP[0]) / np.linalg.norm(rows_TP[1])
        gram_TT = rows_TP @ rows_TP.T
        assert_projected(gram_TT, project_onto_dual_cone(gram_TT))


def test_projections_of_three_by_every_support_tried():
    """The projection of g onto {d: Gd >= 0} is the nearest of those onto its faces."""
    for seed in range(20):
        rows_TP = np.random.default_rng(seed).normal(size=(3, 4))
        rows_TP[0] -= 1.5 * rows_TP[1] + 1.5 * rows_TP[2]
        expected_P = np.zeros(4)
        for row_P in rows_TP:
            found = []
            for face in range(8):
                chosen = rows_TP[[t for t in range(3) if face >> t & 1]]
                point_P = row_P - np.linalg.pinv(chosen) @ chosen @ row_P if len(chosen) else row_P
                if (rows_TP @ point_P >= -1e-12).all():
                    found.append(point_P)
            expected_P += min(found, key=lambda point_P: ((point_P - row_P) ** 2).sum())
        weights_T = project_onto_dual_cone(rows_TP @ rows_TP.T).weights_T
        np.testing.assert_allclose(weights_T @ rows_TP, expected_P, atol=1e-9)


@pytest.mark.parametrize("num_tasks", [1, 100])
def test_one_task_and_a_hundred(num_tasks):
    rows_TP = gradients(0, num_tasks, 1, 3)
    gram_TT = rows_TP @ rows_TP.T
    solution = project_onto_dual_cone(gram_TT)
    assert np.isfinite(solution.weights_T).all()
    assert solution.residual < 1e-6
    assert solve_fair(gram_TT, 2.0).iterations <= 100


def test_a_gradient_of_zero_constrains_nothing():
    gram_TT = np.array([[1.0, 0.0, -0.5], [0.0, 0.0, 0.0], [-0.5, 0.0, 1.0]])
    np.testing.assert_allclose(project_onto_dual_cone(gram_TT).weights_T, [1.5, 1.0, 1.5])


def lawson_hanson(matrix, linear):
    """How many systems Lawson and Hanson's algorithm NNLS solves, in fractions."""
    x, free, systems = [Fraction(0)] * len(linear), [], 0
    while True:
        slopes = [
            sum(a * b for a, b in zip(row, x, strict=True)) + value
            for row, value in zip(matrix, linear, strict=True)
        ]
        others = [t for t in range(len(x)) if t not in free]
        entering = min(others, key=lambda t: slopes[t], default=None)
        if entering is None or slopes[entering] >= 0:
            return systems
        free.append(entering)
        while True:
            systems += 1
            rows = [[matrix[i][j] for j in free] for i in free]
            found = solve_exactly(rows, [-linear[i] for i in free])
            target = dict.fromkeys(range(len(x)), Fraction(0)) | dict(zip(free, found, strict=True))
            falling = [t for t in free if target[t] <= 0]
            if not falling:
                x = list(target.values())
                break
            step = min(x[t] / (x[t] - target[t]) for t in falling)
            x = [value + step * (target[t] - value) for t, value in enumerate(x)]
            free = [t for t in free if x[t] > 0]


def test_the_search_for_a_projection_takes_the_path_of_lawson_and_hanson():
    """Integers, so that nothing but the order of the steps is left to differ."""
    for seed in range(16):
        rng = np.random.default_rng(seed)
        rows_TP = rng.integers(-300, 300, size=(8, 10)).astype(float)
        matrix_TT = rows_TP @ rows_TP.T
        linear_T = rows_TP @ rng.integers(-300, 300, size=10)
        linear_T -= np.round(np.abs(linear_T).mean())
        expected = lawson_hanson(
            [[Fraction(value) for value in row] for row in matrix_TT.tolist()],
            [Fraction(value) for value in linear_T.tolist()],
        )
        assert dual_cone._nonnegative_minimum(matrix_TT, linear_T)[1] == expected


def test_as_many_systems_are_told_as_projections_took():
    assert project_onto_dual_cone(np.eye(3)).iterations == 0
    assert project_onto_dual_cone(np.array([[1.0, -0.5], [-0.5, 1.0]])).iterations == 2


def test_the_residual_of_a_projection_is_relative_to_its_weights(monkeypatch):
    """With what 0.08 (1 + sum x) allows left over.

    Gradient 1 gets 1/2 of gradient 0 and then still opposes gradient 2 by 0.1 of 3/2. Gradient 2
    opposes gradient 1 by 0.1 of 1, which is too much, and then gradient 0 by 0.05 of 1.1.
    """
    monkeypatch.setattr(dual_cone, "TOLERANCE", 0.08)
    solution = project_onto_dual_cone(np.array([[1, -0.5, 0], [-0.5, 1, -0.1], [0, -0.1, 1]]))
    np.testing.assert_allclose(solution.weights_T, [1.5, 1.6, 1.0])
    assert solution.residual == pytest.approx(0.1 / 1.5)
    assert solution.iterations == 3
    assert solution.fallback


@pytest.mark.parametrize(("cosine", "fallback"), [(0.8e-6, False), (1.2e-6, True)])
def test_a_projection_is_a_fallback_above_a_millionth(cosine, fallback, monkeypatch):
    monkeypatch.setattr(dual_cone, "TOLERANCE", 1e-5)
    solution = project_onto_dual_cone(np.array([[1, -cosine], [-cosine, 1]]))
    assert solution.residual == pytest.approx(cosine)
    assert bool(solution.fallback) == fallback


def test_gradients_that_are_dependent_to_the_last_bit_are_projected():
    """Two gradients, thrice each: whatever solves their singular systems."""
    rows_TP = np.array([[1.0, 0.0], [-1.0, 1.0]])[[0, 0, 0, 1, 1, 1]]
    solution = project_onto_dual_cone(rows_TP @ rows_TP.T)
    np.testing.assert_allclose(solution.weights_T @ rows_TP, [1.5, 4.5])
    assert not solution.fallback


def test_the_scale_of_the_gradients_is_nothing_to_projections():
    rows_TP = gradients(0, 5, 1, 3)
    gram_TT = rows_TP @ rows_TP.T
    weights_T = project_onto_dual_cone(gram_TT).weights_T
    assert weights_T.max() > 1.1
    for power in (-60, 60):
        scaled = project_onto_dual_cone(gram_TT * 4.0**power)
        assert scaled.weights_T.tolist() == weights_T.tolist()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_fair_weights_of_orthogonal_gradients_are_where_newton_starts(alpha):
    """(Kw)_t = ||g_t||^2 w_t = w_t^(-1/alpha)."""
    norms_T = np.array([1e-6, 1e-3, 1.0, 1e4])
    solution = solve_fair(np.diag(norms_T**2), alpha)
    np.testing.assert_allclose(solution.weights_T, norms_T ** (-2 / (1 + 1 / alpha)))
    assert solution.iterations == 1
    assert solution.residual < 1e-12
    assert not solution.fallback


@pytest.mark.parametrize(("steps", "fallback"), [(2, True), (8, False)])
def test_fair_weights_that_took_too_many_steps_say_how_far_off_they_are(
    steps, fallback, monkeypatch
):
    monkeypatch.setattr(fair, "MAX_STEPS", steps)
    rows_TP = gradients(0, 3, 0, 3)
    gram_TT = rows_TP @ rows_TP.T
    solution = solve_fair(gram_TT, 2.0)
    gains_T = gram_TT @ solution.weights_T
    off = np.abs(gains_T * solution.weights_T**0.5 - 1).max()
    assert solution.residual == pytest.approx(off, rel=1e-6, abs=1e-12)
    assert solution.iterations == (steps if fallback else solution.iterations)
    assert bool(solution.fallback) == fallback


@pytest.mark.parametrize("alpha", [0.3, *ALPHAS])
def test_fair_weights_of_any_scale(alpha):
    """Gradients s times as long have weights s^(-2 / (1 + 1/alpha)) times as large."""
    rows_TP = gradients(0, 4, 1, 3)
    gram_TT = rows_TP @ rows_TP.T
    ordinary = solve_fair(gram_TT, alpha)
    assert not ordinary.fallback
    for power in (-250, 250):
        solution = solve_fair(gram_TT * 4.0**power, alpha)
        expected_T = ordinary.weights_T * 2.0 ** (-2 * power / (1 + 1 / alpha))
        np.testing.assert_allclose(solution.weights_T, expected_T, rtol=1e-9)
        assert not solution.fallback


@pytest.mark.parametrize("kind", ["mixed", "mixed, alike"])
def test_fair_weights_far_from_where_newton_starts_take_few_steps(kind):
    """Without backtracking it would be 20 to 30."""
    for seed in range(5):
        rows_TP = far_apart(kind, seed)
        assert solve_fair(rows_TP @ rows_TP.T, 0.3).iterations <= 15


@pytest.mark.parametrize(("norm", "left_out"), [(1.5e-12, False), (0.8e-12, True)])
def test_fair_weights_take_a_norm_of_1e_12_of_the_largest_for_zero(norm, left_out):
    for scale in (1e-3, 1e3):
        solution = solve_fair(scale**2 * np.diag([1.0, norm**2]), 1.0)
        assert bool(solution.fallback) == left_out
        expected_T = np.array([1, 1 if left_out else 1 / norm]) / scale
        np.testing.assert_allclose(solution.weights_T, expected_T)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_fair_weights_near_where_newton_starts_are_found_by_whole_steps(alpha):
    """Steps that square the error, where steps of 0.99 would divide it by 100."""
    solution = solve_fair(np.eye(4) + 1e-3 * (1 - np.eye(4)), alpha)
    assert solution.iterations <= 5
    assert solution.residual < 1e-12
