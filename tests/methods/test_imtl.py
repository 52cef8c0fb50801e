"""IMTL: equal projections, what it says where there are none, and at which bounds."""

import numpy as np
import pytest
import torch

from mtl_bench.methods import IMTL
from mtl_bench.methods.imtl import equal_projections
from tests.solvers.test_failures import gram_TT, lengths
from tests.solvers.test_solvers import CASES, gradients

__all__ = ["gram_TT"]  # a fixture


def test_without_any_gradient_all_tasks_weigh_the_same():
    weights_T, *health = equal_projections(np.zeros((3, 3)))
    assert weights_T.tolist() == [1 / 3] * 3
    assert health == [0, 0.0, True]


@pytest.mark.parametrize("case", [c for c in CASES if c[2] < 2], ids=str)
def test_equal_projections_are_equal_and_match_the_papers_formula(case):
    rows_TP = gradients(*case)
    solution = equal_projections(rows_TP @ rows_TP.T)
    a = solution.weights_T
    assert not solution.fallback
    assert a.sum() == pytest.approx(1)
    units_TP = rows_TP / np.linalg.norm(rows_TP, axis=1, keepdims=True)
    update_P = a @ rows_TP
    projections_T = units_TP @ update_P
    size = np.abs(a) @ np.linalg.norm(rows_TP, axis=1)
    np.testing.assert_allclose(projections_T, projections_T[0], atol=1e-9 * size)
    if len(rows_TP) > 1:
        differences = rows_TP[0] - rows_TP[1:]
        unit_differences = units_TP[0] - units_TP[1:]
        rest = rows_TP[0] @ unit_differences.T @ np.linalg.inv(differences @ unit_differences.T)
        np.testing.assert_allclose(a, [1 - rest.sum(), *rest], rtol=1e-5, atol=1e-8)


def test_equal_projections_leave_a_gradient_of_zero_its_share():
    solution = equal_projections(np.diag([0.0, 1.0, 4.0]))
    np.testing.assert_allclose(solution.weights_T, [1 / 3, 4 / 9, 2 / 9])
    assert solution.iterations == 1
    assert solution.residual < 1e-12


def test_equal_projections_are_those_of_a_real_update_or_a_fallback(gram_TT):
    solution = equal_projections(gram_TT)
    a, norms_T = solution.weights_T, lengths(gram_TT)
    assert a.sum() == pytest.approx(1)
    if solution.fallback:
        return
    projections_T = gram_TT @ a / norms_T
    size = np.abs(a) @ norms_T
    np.testing.assert_allclose(projections_T, projections_T[0], atol=1e-6 * size)
    assert np.abs(projections_T).max() > 1e-7 * size


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 2.0], [-1.0, -2.0]],
        [[1.0, 2.0], [-3.0, -6.0]],
        [[1.0], [2.0], [-1.0]],
        [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]],
        np.random.default_rng(0).normal(size=(11, 5)),
    ],
    ids=["opposed", "opposed and longer", "line", "triangle", "eleven in five dimensions"],
)
@pytest.mark.parametrize("noise", [0, 3e-8], ids=["exact", "float32"])
def test_imtl_says_that_only_an_update_of_zero_projects_equally(rows, noise):
    rows_TP = torch.tensor(np.array(rows))
    num_tasks = len(rows_TP)
    gram_TT = rows_TP @ rows_TP.T
    generator = torch.Generator().manual_seed(0)
    gram_TT = gram_TT * (1 + noise * torch.randn(gram_TT.shape, generator=generator).double())
    method = IMTL(num_tasks)
    weights_T = method.weights(torch.ones(num_tasks), gram_TT)
    assert weights_T.sum() == pytest.approx(1)
    size = weights_T.abs() @ rows_TP.norm(dim=1)
    assert (weights_T @ rows_TP).norm() <= 1e-5 * size
    assert method.diagnostics["solver_fallback"] == 1


def test_imtl_takes_equal_projections_of_dependent_gradients_where_there_are_some():
    rows_TP = np.random.default_rng(0).normal(size=(4, 6))[[0, 1, 1, 2]]
    rows_TP[2] *= 3
    solution = equal_projections(rows_TP @ rows_TP.T)
    update_P = solution.weights_T @ rows_TP
    projections_T = rows_TP @ update_P / np.linalg.norm(rows_TP, axis=1)
    np.testing.assert_allclose(projections_T, projections_T[0])
    assert not solution.fallback


def test_imtl_reports_a_zero_gradient_and_balances_the_others():
    rows_TP = np.random.default_rng(0).normal(size=(4, 6))
    rows_TP[2] = 0
    solution = equal_projections(rows_TP @ rows_TP.T)
    assert solution.fallback
    assert solution.weights_T[2] == 1 / 4
    others = [0, 1, 3]
    alone = equal_projections(rows_TP[others] @ rows_TP[others].T)
    np.testing.assert_allclose(solution.weights_T[others], alone.weights_T * 3 / 4)


def test_a_power_of_two_changes_no_bit_of_equal_projections():
    rows_TP = gradients(0, 4, 1, 1)
    gram_TT = rows_TP @ rows_TP.T
    weights_T = equal_projections(gram_TT).weights_T
    for power in (-60, 60):
        assert equal_projections(gram_TT * 4.0**power).weights_T.tolist() == weights_T.tolist()


@pytest.mark.parametrize(("share", "fallback"), [(0.8, True), (1.25, False)])
@pytest.mark.parametrize("size", [2, 3])
def test_projections_within_the_precision_of_float32_are_none(size, share, fallback):
    """Gradients along axes, plus a common one: cosines c + (1 - c) I, and x_t = 1, p = (Cx)_t."""
    precision = size * float(np.finfo(np.float32).eps)
    cosine = (share * precision * size - 1) / (size - 1)
    gram_TT = np.full((size, size), cosine) + (1 - cosine) * np.eye(size)
    solution = equal_projections(gram_TT)
    np.testing.assert_allclose(solution.weights_T, 1 / size)
    assert bool(solution.fallback) == fallback
