"""The solvers of FairGrad and UPGrad where norms lie far apart, tasks are many, or none is left."""

import numpy as np
import pytest

from mtl_bench.solvers import project_onto_dual_cone, solve_fair, solve_nash
from tests.solvers.test_far_apart import KINDS, far_apart
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
    assert solution.fallback
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
