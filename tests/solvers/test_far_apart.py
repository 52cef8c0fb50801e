"""The solvers where norms of gradients lie far apart, against exact arithmetic."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.solvers import solve_cagrad, solve_min_norm, solve_nash


def exact_gram(rows_TP):
    """The Gram matrix in fractions."""
    exact = [[Fraction(value) for value in row] for row in rows_TP.tolist()]
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in exact] for x in exact]


def as_floats(gram):
    return np.array([[float(value) for value in row] for row in gram])


def solve_exactly(matrix, right):
    """Gauss-Jordan elimination in fractions; None if the matrix is singular."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = next((k for k in range(i, len(rows)) if rows[k][i] != 0), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(len(rows)):
            if k != i:
                factor = rows[k][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


def least_square(gram):
    """The smallest squared norm in the convex hull, from the hull of every set of gradients.

    The point of smallest norm lies within the hull of affinely independent gradients, where it is
    the point of smallest norm of the affine hull too.
    """
    found = []
    for size in range(1, len(gram) + 1):
        for support in combinations(range(len(gram)), size):
            system = [[*(gram[i][j] for j in support), Fraction(-1)] for i in support]
            system.append([*[Fraction(1)] * size, Fraction(0)])
            solution = solve_exactly(system, [*[Fraction(0)] * size, Fraction(1)])
            if solution is not None and min(solution[:-1]) >= 0:
                found.append(solution[-1])
    return min(found)


def square(gram, weights_T):
    """w'Kw in fractions, of weights scaled to the sum 1."""
    weights = [Fraction(w) for w in weights_T.tolist()]
    tasks = range(len(weights))
    products = (weights[i] * weights[j] * gram[i][j] for i in tasks for j in tasks)
    return sum(products) / sum(weights) ** 2


def far_apart(kind, seed):
    """Five gradients in eight dimensions, with norms far apart."""
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(5, 8))
    if kind == "mixed":
        rows_TP *= 10 ** rng.uniform(-3, 3, size=(5, 1))
    elif kind == "mixed, alike":
        rows_TP = (rows_TP + 2 * rng.normal(size=8)) * 10 ** rng.uniform(-3, 3, size=(5, 1))
    elif kind == "all but one long":
        rows_TP[1:] *= 1e6
    else:
        rows_TP[0] *= float(kind)
    return rows_TP


KINDS = ["1e4", "3e5", "1e6", "1e8", "1e12", "all but one long", "mixed", "mixed, alike"]


@pytest.mark.parametrize("kind", KINDS)
def test_min_norm_point_is_exact_however_far_apart_the_norms_are(kind):
    for seed in range(4):
        gram = exact_gram(far_apart(kind, seed))
        solution = solve_min_norm(as_floats(gram))
        least = least_square(gram)
        assert least <= square(gram, solution.weights_T) <= least * (1 + Fraction(1, 10**9))
        assert not solution.fallback
        assert solution.residual < 1e-9


@pytest.mark.parametrize("kind", ["equal", "in a plane", "mixed, in a plane"])
def test_min_norm_point_of_dependent_gradients_is_exact(kind):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows_TP = rng.normal(size=(5, 2)) + 2
        if kind == "equal":
            rows_TP[1:3] = rows_TP[0]
        elif kind == "mixed, in a plane":
            rows_TP *= 10 ** rng.uniform(-3, 3, size=(5, 1))
        gram = exact_gram(rows_TP)
        solution = solve_min_norm(as_floats(gram))
        least = least_square(gram)
        assert least > 0
        assert least <= square(gram, solution.weights_T) <= least * (1 + Fraction(1, 10**9))
        assert not solution.fallback


def shortfall(gram_TT, weights_T, combination_T):
    """By how much products with a combination fall below their mean, relative to the norms."""
    norms_T = np.sqrt(gram_TT.diagonal())
    products_T = gram_TT @ combination_T
    scale_T = (norms_T + weights_T @ norms_T) * (np.abs(combination_T) @ norms_T)
    return float(((weights_T @ products_T - products_T) / scale_T).max())


def assert_optimal_for_cagrad(gram_TT, c, solution, tolerance):
    """Check the conditions under which d is optimal, with the smoothing that the docs name."""
    beyond_T = solution.weights_T - 1 / len(gram_TT)
    total = beyond_T.sum()
    mean_square = gram_TT.mean()
    assert (beyond_T >= -1e-12 * total).all()
    length = beyond_T @ gram_TT @ beyond_T + 1e-10 * mean_square * total**2
    assert length == pytest.approx(c**2 * mean_square, rel=1e-6)
    assert shortfall(gram_TT, beyond_T / total, solution.weights_T) <= tolerance
    assert not solution.fallback


@pytest.mark.parametrize("c", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_cagrad_is_optimal_however_far_apart_the_norms_are(kind, c):
    for seed in range(4):
        rows_TP = far_apart(kind, seed)
        gram_TT = rows_TP @ rows_TP.T
        assert_optimal_for_cagrad(gram_TT, c, solve_cagrad(gram_TT, c), 1e-9)


@pytest.mark.parametrize("c", [0.4, 0.9])
def test_cagrad_is_optimal_where_exchanging_tasks_goes_in_circles(c):
    circles = [
        [[1, 3, 1, -2], [0, 3, -4, -2], [-4, -1, -1, 4], [-1, -1, 1, 3]],
        [[0, -4, -3, 0], [1, -3, 4, -1], [-1, 2, 0, 2], [-1, 3, -3, 4]],
        [[-4, -3, -2, 4], [2, 1, 2, -2], [3, 2, 3, -4], [-1, 0, 2, 0]],
        [[4, -3, 2, -2], [2, -1, 2, -3], [2, -3, -3, 4], [0, 2, -4, 1]],
    ]
    for rows in circles:
        gram_TT = np.array(rows, dtype=float) @ np.array(rows, dtype=float).T
        assert_optimal_for_cagrad(gram_TT, c, solve_cagrad(gram_TT, c), 1e-12)


@pytest.mark.parametrize("length", range(2, 14))
def test_cagrad_is_optimal_where_its_function_has_no_minimum_but_a_limit(length):
    """Of gradients of lengths a and 1 at a right angle, for c = (a^2 - 1) / (a^2 + 1)."""
    gram_TT = np.diag([length**2, 1.0])
    c = (length**2 - 1) / (length**2 + 1)
    assert_optimal_for_cagrad(gram_TT, c, solve_cagrad(gram_TT, c), 1e-12)


troubles = st.sampled_from(["", "opposed", "duplicate", "zero", "float32", "not symmetric"])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 24),
    st.floats(-10, 15),
    st.floats(0, 6),
    troubles,
)
def test_min_norm_point_is_optimal_at_any_scale(seed, num_tasks, size, scale, spread, trouble):
    gram_TT = troubled_gram(seed, num_tasks, size, scale, spread, trouble)
    solution = solve_min_norm(gram_TT)
    w = solution.weights_T
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(1)
    assert solution.iterations < 400
    assert not solution.fallback or not gram_TT.any()
    if gram_TT.diagonal().min() > 0:
        assert shortfall(gram_TT, w, w) <= (
            1e-6 if trouble in ("float32", "not symmetric") else 1e-9
        )
    else:
        assert w @ gram_TT @ w == 0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 24),
    st.floats(-10, 15),
    st.floats(0, 4),
    troubles.filter(lambda trouble: trouble != "zero"),
    st.sampled_from([0.1, 0.4, 0.9]),
)
def test_cagrad_is_optimal_at_any_scale_or_says_that_it_is_not(
    seed, num_tasks, size, scale, spread, trouble, c
):
    gram_TT = troubled_gram(seed, num_tasks, size, scale, spread, trouble)
    solution = solve_cagrad(gram_TT, c)
    assert np.isfinite(solution.weights_T).all()
    assert solution.iterations < 400
    if not solution.fallback:
        beyond_T = solution.weights_T - 1 / num_tasks
        share_T = beyond_T / beyond_T.sum()
        assert shortfall(gram_TT, share_T, solution.weights_T) <= 1e-5


def troubled_gram(seed, num_tasks, size, scale, spread, trouble):
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(num_tasks, size))
    rows_TP *= 10 ** (scale + rng.uniform(-spread / 2, spread / 2, size=(num_tasks, 1)))
    if num_tasks > 1:
        first = {"opposed": -rows_TP[1], "duplicate": rows_TP[1], "zero": 0.0}
        rows_TP[0] = first.get(trouble, rows_TP[0])
    gram_TT = rows_TP @ rows_TP.T
    if trouble in ("float32", "not symmetric"):
        gram_TT = gram_TT * (1 + 1e-7 * rng.normal(size=gram_TT.shape))
    if trouble == "float32":
        gram_TT = (gram_TT + gram_TT.T) / 2
    return gram_TT


def test_rounding_errors_do_not_pass_for_progress():
    rng = np.random.default_rng(3436)
    rows_TP = rng.normal(size=(6, 4)) * 10 ** rng.uniform(-6, 6, size=(6, 1))
    rows_TP[0] = -rows_TP[1]
    assert solve_cagrad(rows_TP @ rows_TP.T, 0.4).iterations < 100


@pytest.mark.parametrize("seed", range(6))
def test_a_gram_matrix_of_products_in_float32_is_not_symmetric_and_solved_as_it_is(seed):
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(11, 12)) + rng.normal(size=12)
    gram_TT = rows_TP @ rows_TP.T
    gram_TT *= 1 + 3e-8 * rng.normal(size=gram_TT.shape)
    nearest = solve_min_norm(gram_TT)
    assert shortfall(gram_TT, nearest.weights_T, nearest.weights_T) <= 1e-12
    assert not nearest.fallback
    lower_TT = np.tril(gram_TT) + np.tril(gram_TT, -1).T
    assert_optimal_for_cagrad(lower_TT, 0.4, solve_cagrad(gram_TT, 0.4), 1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(-40, 40))
def test_a_power_of_two_changes_no_bit(seed, num_tasks, exponent):
    rng = np.random.default_rng(seed)
    rows_TP = rng.normal(size=(num_tasks, 20)) * 10 ** rng.uniform(-2, 2, size=(num_tasks, 1))
    gram_TT = rows_TP @ rows_TP.T
    scaled_TT = gram_TT * 4.0**exponent
    for solve in (solve_min_norm, lambda gram_TT: solve_cagrad(gram_TT, 0.4)):
        np.testing.assert_array_equal(solve(gram_TT).weights_T, solve(scaled_TT).weights_T)
    np.testing.assert_array_equal(
        solve_nash(gram_TT).weights_T, solve_nash(scaled_TT).weights_T * 2.0**exponent
    )


@pytest.mark.parametrize("share", [4, 1, 0.5], ids=["independent", "square", "dependent"])
def test_a_hundred_tasks_take_few_systems(share):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rows_TP = rng.normal(size=(100, int(100 * share))) + 0.5 * rng.normal(size=int(100 * share))
        gram_TT = rows_TP @ rows_TP.T
        nearest = solve_min_norm(gram_TT)
        assert shortfall(gram_TT, nearest.weights_T, nearest.weights_T) <= 1e-9
        assert nearest.iterations <= 200
        averse = solve_cagrad(gram_TT, 0.4)
        assert_optimal_for_cagrad(gram_TT, 0.4, averse, 1e-9)
        assert averse.iterations <= (100 if share < 1 else 20)
        assert solve_nash(gram_TT).iterations <= 40
