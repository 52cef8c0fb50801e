"""Optimality conditions, closed forms and independent solvers."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.methods.imtl import equal_projections
from mtl_bench.solvers import solve_cagrad, solve_min_norm, solve_nash


def gradients(seed, num_tasks, spread=0.0, conflict=0.0):
    """Random rows whose norms differ by up to 10^(2 spread)."""
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(num_tasks, 60))
    rows_TP[: num_tasks // 2] -= conflict * rows_TP[num_tasks - num_tasks // 2 :]
    return rows_TP * 10 ** rng.uniform(-spread, spread, size=(num_tasks, 1))


CASES = [
    (seed, num_tasks, spread, conflict)
    for seed in range(4)
    for num_tasks in (1, 2, 3, 11, 30)
    for spread, conflict in ((0, 0), (1, 0), (0, 3), (2, 2))
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_min_norm_point_satisfies_its_optimality_conditions(case):
    rows_TP = gradients(*case)
    gram_TT = rows_TP @ rows_TP.T
    solution = solve_min_norm(gram_TT)
    w = solution.weights_T
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1)
    products_T = gram_TT @ w
    assert (products_T >= w @ products_T - 1e-11 * gram_TT.diagonal().max()).all()
    assert not solution.fallback
    assert solution.residual < 1e-10


def test_min_norm_of_two_is_the_closed_form():
    for seed in range(20):
        rows_TP = gradients(seed, 2, spread=1)
        (a, b), (_, c) = rows_TP @ rows_TP.T
        first = min(max((c - b) / (a + c - 2 * b), 0), 1)
        weights_T = solve_min_norm(rows_TP @ rows_TP.T).weights_T
        np.testing.assert_allclose(weights_T, [first, 1 - first], atol=1e-12)


def test_min_norm_beats_every_support_tried_one_by_one():
    for seed in range(5):
        rows_TP = gradients(seed, 5, spread=0.5, conflict=2)
        gram_TT = rows_TP @ rows_TP.T
        best = math.inf
        for size in range(1, 6):
            for support in combinations(range(5), size):
                w = np.linalg.solve(gram_TT[np.ix_(support, support)], np.ones(size))
                if (w >= 0).all():
                    best = min(best, 1 / w.sum())
        w = solve_min_norm(gram_TT).weights_T
        assert w @ gram_TT @ w == pytest.approx(best, rel=1e-10)


@pytest.mark.parametrize("c", [0.1, 0.4, 0.5, 0.9])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cagrad_reaches_its_duality_gap(case, c):
    rows_TP = gradients(*case)
    num_tasks = len(rows_TP)
    solution = solve_cagrad(rows_TP @ rows_TP.T, c)
    assert not solution.fallback
    mean_P = rows_TP.mean(axis=0)
    radius = c * np.linalg.norm(mean_P)
    update_P = solution.weights_T @ rows_TP
    # primal feasible: within the ball; dual value at the weights beyond the mean's
    assert np.linalg.norm(update_P - mean_P) <= radius * (1 + 1e-9)
    beyond_T = solution.weights_T - 1 / num_tasks
    assert (beyond_T >= -1e-12).all()
    combined_P = beyond_T / beyond_T.sum() @ rows_TP
    dual = combined_P @ mean_P + radius * np.linalg.norm(combined_P)
    primal = (rows_TP @ update_P).min()
    scale = np.linalg.norm(rows_TP, axis=1).max() * np.linalg.norm(mean_P)
    assert dual - primal <= 1e-6 * scale


def test_cagrad_of_two_against_a_fine_grid():
    for seed in range(10):
        rows_TP = gradients(seed, 2, spread=0.5, conflict=1)
        gram_TT = rows_TP @ rows_TP.T
        radius = 0.4 * math.sqrt(gram_TT.mean())
        grid = np.linspace(0, 1, 100_001)
        w_N2 = np.stack([grid, 1 - grid], axis=1)
        lengths_N = np.sqrt(np.einsum("ni,ij,nj->n", w_N2, gram_TT, w_N2))
        best = (w_N2 @ gram_TT.mean(axis=1) + radius * lengths_N).argmin()
        expected = 0.5 + radius / lengths_N[best] * w_N2[best]
        np.testing.assert_allclose(solve_cagrad(gram_TT, 0.4).weights_T, expected, atol=2e-4)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nash_solution_satisfies_its_equation(case):
    rows_TP = gradients(*case)
    gram_TT = rows_TP @ rows_TP.T
    solution = solve_nash(gram_TT)
    a = solution.weights_T
    assert (a > 0).all()
    np.testing.assert_allclose(a * (gram_TT @ a), 1, rtol=1e-9)
    assert not solution.fallback
    assert a @ gram_TT @ a == pytest.approx(len(rows_TP))


def test_nash_solution_of_orthogonal_gradients_is_one_over_their_norms():
    norms_T = np.array([1e-6, 1e-3, 1.0, 1e5])
    np.testing.assert_allclose(solve_nash(np.diag(norms_T**2)).weights_T, 1 / norms_T)


def test_nash_solution_of_gradients_that_cancel_is_capped_and_reported():
    solution = solve_nash(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert solution.fallback
    np.testing.assert_allclose(solution.weights_T, 1e4, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(-10, 15),
    st.floats(0, 4),
    st.sampled_from(["", "opposed", "duplicate", "zero", "float32"]),
)
def test_every_solver_ends_with_finite_weights(seed, num_tasks, size, scale, spread, trouble):
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(num_tasks, size))
    rows_TP *= 10 ** (scale + rng.uniform(-spread, spread, size=(num_tasks, 1)))
    if num_tasks > 1:
        first = {"opposed": -rows_TP[1], "duplicate": rows_TP[1], "zero": 0.0}
        rows_TP[0] = first.get(trouble, rows_TP[0])
    gram_TT = rows_TP @ rows_TP.T
    if trouble == "float32":
        gram_TT = gram_TT * (1 + 1e-7 * rng.normal(size=gram_TT.shape))
        gram_TT = (gram_TT + gram_TT.T) / 2
    for solution in (
        solve_min_norm(gram_TT),
        solve_cagrad(gram_TT, 0.4),
        solve_nash(gram_TT),
        equal_projections(gram_TT),
    ):
        assert np.isfinite(solution.weights_T).all()
        assert np.isfinite(solution.residual)
        assert solution.iterations < 400


torchjd = pytest.importorskip("torchjd.aggregation")


@pytest.mark.parametrize("seed", range(3))
def test_against_torchjd(seed):
    rows_TP = gradients(seed, 5, spread=0.3, conflict=1)
    gram = torch.from_numpy(rows_TP @ rows_TP.T)

    def theirs(weighting):
        return weighting(gram).numpy()

    # Frank-Wolfe comes close to the exact point
    np.testing.assert_allclose(
        solve_min_norm(gram.numpy()).weights_T,
        theirs(torchjd.MGDAWeighting(epsilon=1e-7, max_iters=20_000)),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        equal_projections(gram.numpy()).weights_T, theirs(torchjd.IMTLGWeighting()), rtol=1e-6
    )
    # FairGrad with alpha 1 asks for K a = 1 / a
    np.testing.assert_allclose(
        solve_nash(gram.numpy()).weights_T, theirs(torchjd.FairGradWeighting(alpha=1.0)), rtol=1e-4
    )
