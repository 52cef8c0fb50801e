"""Every solver either solves its equation or says that it did not, whatever the Gram matrix is."""

import numpy as np
import pytest
import torch

from mtl_bench.methods import NashMTL
from mtl_bench.solvers import solve_cagrad, solve_min_norm, solve_nash
from mtl_bench.solvers.ccp import ConvexConcave


def zoo(scale):
    """Gram matrices that are hard, by name."""
    rng = np.random.default_rng(0)
    four = rng.normal(size=(4, 6))
    rows = {
        "one": [[3.0, 4.0]],
        "ordinary": four,
        "orthogonal": np.diag([1.0, 2.0, 3.0]),
        "line": rng.normal(size=(3, 1)),
        "plane": rng.normal(size=(5, 2)),
        "duplicate": four[[0, 1, 1, 2]],
        "opposed": [[1.0, 2.0], [-1.0, -2.0]],
        "opposed pair": [*four, -four[0]],
        "cancel": four - four.mean(axis=0),
        "two cancel": [four[0], -10 * four[0], four[1]],
        "with zero": [*four, np.zeros(6)],
        "zero and one": [[1.0, 0.0], [0.0, 0.0]],
        "zeros": np.zeros((3, 2)),
        "nearly parallel": rng.normal(size=6) + 1e-6 * four,
        "one long": four * [[1e6], [1], [1], [1]],
        "one short": four * [[1e-6], [1], [1], [1]],
        "mixed": four * [[1e-5], [1], [1e3], [1e5]],
        "mixed plane": rng.normal(size=(5, 2)) * 10.0 ** np.arange(-4, 6, 2)[:, None],
    }
    return {name: scale * np.array(values) for name, values in rows.items()}


SCALES = [1e-10, 1.0, 1e15]
ANIMALS = [(name, scale) for scale in SCALES for name in zoo(1.0)]


@pytest.fixture(params=ANIMALS, ids=str)
def gram_TT(request):
    name, scale = request.param
    rows_TP = zoo(scale)[name]
    return rows_TP @ rows_TP.T


def lengths(gram_TT):
    return np.sqrt(gram_TT.diagonal())


def test_min_norm_point_is_found_unless_there_are_but_zeros(gram_TT):
    solution = solve_min_norm(gram_TT)
    w, norms_T = solution.weights_T, lengths(gram_TT)
    assert solution.fallback == (not gram_TT.any())
    products_T = gram_TT @ w
    bound_T = (norms_T + w @ norms_T) * (w @ norms_T)
    assert (products_T >= w @ products_T - 1e-9 * bound_T).all()


def test_cagrad_is_a_fallback_only_where_the_gradients_cancel(gram_TT):
    solution = solve_cagrad(gram_TT, 0.4)
    norms_T = lengths(gram_TT)
    cancel = gram_TT.mean() <= 1e-14 * gram_TT.diagonal().max()
    assert solution.fallback == cancel
    if cancel:
        np.testing.assert_allclose(solution.weights_T, 1 / len(gram_TT))
    else:
        beyond_T = solution.weights_T - 1 / len(gram_TT)
        share_T = beyond_T / beyond_T.sum()
        products_T = gram_TT @ solution.weights_T
        bound_T = (norms_T + share_T @ norms_T) * (solution.weights_T @ norms_T)
        assert (products_T >= share_T @ products_T - 1e-6 * bound_T).all()


def test_nash_solution_fulfils_its_equation_or_is_a_fallback(gram_TT):
    solution = solve_nash(gram_TT)
    a = solution.weights_T
    assert (a > 0).all()
    assert np.isfinite(a).all()
    fulfilled = np.abs(a * (gram_TT @ a) - 1).max() <= 1e-5
    assert fulfilled or solution.fallback
    norms_T = lengths(gram_TT)
    if norms_T.min() > 0 and np.linalg.eigvalsh(gram_TT / np.outer(norms_T, norms_T))[0] > 1e-6:
        assert fulfilled
        assert not solution.fallback


def test_the_official_procedure_fulfils_its_equation_or_is_a_fallback(gram_TT):
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    solution = ConvexConcave(len(gram_TT)).solve(gram_TT, np.ones(len(gram_TT)))
    a = solution.weights_T
    assert np.isfinite(a).all()
    assert solution.residual == pytest.approx(np.abs(a * (gram_TT @ a) - 1).max())
    assert solution.residual <= 1e-3 or solution.fallback


@pytest.mark.parametrize("seed", range(4))
def test_nash_solver_of_gradients_on_a_line_ends_where_rounding_begins(seed):
    rng = np.random.default_rng(seed)
    rows_TP = np.outer(rng.normal(size=100), rng.normal(size=20))
    solution = solve_nash(rows_TP @ rows_TP.T)
    assert solution.iterations < 100
    assert solution.fallback


@pytest.mark.parametrize("rows", [np.diag([1.0, 0.0]), [[1.0], [-1.0]]], ids=["zero", "opposed"])
def test_nashmtl_with_a_program_that_cannot_be_written_keeps_its_weights(rows):
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    rows_TP = torch.tensor(np.array(rows))
    method = NashMTL(2, solver="ccp")
    weights_T = method.weights(torch.ones(2), rows_TP @ rows_TP.T)
    assert weights_T.tolist() == [1, 1]
    assert method.diagnostics["solver_fallback"] == 1


def test_nashmtl_says_that_the_official_procedure_is_far_from_the_solution():
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    rows_TP = torch.randn(3, 20, generator=torch.Generator().manual_seed(0)).double()
    rows_TP[0] *= 1e3
    method = NashMTL(3, solver="ccp")
    method.weights(torch.ones(3), rows_TP @ rows_TP.T)
    assert method.diagnostics["solver_residual"] > 1
    assert method.diagnostics["solver_fallback"] == 1
