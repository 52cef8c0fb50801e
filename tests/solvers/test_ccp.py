"""The official procedure agrees with Newton where it works, and says so where it is missing."""

import sys

import numpy as np
import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.solvers import ccp, solve_nash
from mtl_bench.solvers.ccp import ConvexConcave
from tests.solvers.test_solvers import gradients


def test_without_cvxpy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ConfigError, match="nash-ccp"):
        ConvexConcave(3)


def test_without_ecos_the_error_names_the_extra_too(monkeypatch):
    monkeypatch.setattr(pytest.importorskip("cvxpy"), "installed_solvers", lambda: ["CLARABEL"])
    with pytest.raises(ConfigError, match="nash-ccp"):
        ConvexConcave(3)


@pytest.fixture
def solver():
    """Build the procedure for two tasks, where it is installed."""
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    return ConvexConcave(2)


GRAM_TT = np.array([[2.0, -0.6], [-0.6, 0.5]])


def one_program(gram_TT, start_T, scipy_optimize):
    """Solve the first convex program with SciPy's SLSQP."""
    norm = np.linalg.norm(gram_TT)
    matrix_TT = gram_TT / norm
    products_T = matrix_TT @ start_T
    slope_T = (1 / start_T + matrix_TT.T @ (1 / products_T)) / norm

    def slack(a_T):
        return np.log(norm * a_T) + np.log(matrix_TT @ a_T)

    exact_T = solve_nash(gram_TT).weights_T  # feasible, and so is what is 1.5 times as long
    return scipy_optimize.minimize(
        lambda a_T: (matrix_TT @ a_T).sum() + slope_T @ a_T,
        1.5 * exact_T,
        constraints={"type": "ineq", "fun": slack},
        bounds=[(1e-3, None)] * 2,
        options={"ftol": 1e-12},
    ).x


@pytest.mark.filterwarnings("ignore")  # cvxpy's own
@pytest.mark.parametrize(
    ("gram_TT", "start"),
    [
        (GRAM_TT, [0.2, 5.0]),
        # of gradients that agree both constraints need not hold with equality
        (np.array([[2.0, 0.9], [0.9, 0.5]]), [5.0, 0.2]),
        (np.array([[1.0, 0.9], [0.9, 1.0]]), [0.05, 1.0]),
    ],
    ids=["opposed", "alike", "as long"],
)
def test_a_program_is_linearised_at_the_last_weights(gram_TT, start, solver, monkeypatch):
    optimize = pytest.importorskip("scipy.optimize")
    monkeypatch.setattr(ccp, "MAX_PROGRAMS", 1)
    start_T = np.array(start)
    solution = solver.solve(gram_TT, start_T)
    expected_T = one_program(gram_TT, start_T, optimize)
    np.testing.assert_allclose(solution.weights_T, expected_T, rtol=1e-4)
    assert solution.iterations == 1
    assert start_T.tolist() == start
    products_T = solution.weights_T * (gram_TT @ solution.weights_T)
    assert solution.residual == pytest.approx(np.abs(products_T - 1).max())


@pytest.mark.filterwarnings("ignore")
def test_at_the_solution_the_first_program_changes_nothing_and_its_start_is_the_answer(solver):
    exact_T = solve_nash(GRAM_TT).weights_T
    solution = solver.solve(GRAM_TT, exact_T)
    assert solution.iterations == 1
    assert solution.weights_T is not exact_T
    assert solution.weights_T.tolist() == exact_T.tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("change", "programs"), [(0.7e-6, 1), (1.5e-6, 2)])
def test_the_procedure_ends_at_a_change_below_a_millionth(solver, change, programs):
    start_T = solve_nash(GRAM_TT).weights_T + np.array([0.6, 0.8]) * change
    assert solver.solve(GRAM_TT, start_T).iterations == programs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("error", "programs"), [(0.8e-3, 0), (1.5e-3, 1)])
def test_no_program_is_solved_where_the_equation_holds_to_a_thousandth(solver, error, programs):
    gram_TT = GRAM_TT / np.linalg.norm(GRAM_TT)
    exact_T = solve_nash(gram_TT).weights_T
    start_T = exact_T * (1 + error / np.linalg.norm(2 / exact_T))
    assert solver.solve(gram_TT, start_T).iterations == programs


def test_a_gram_matrix_of_zeros_keeps_the_last_weights(solver):
    start_T = np.array([0.2, 5.0])
    solution = solver.solve(np.zeros((2, 2)), start_T)
    assert solution.weights_T is not start_T
    assert solution.weights_T.tolist() == [0.2, 5.0]
    assert (solution.iterations, solution.residual, solution.fallback) == (0, 1.0, True)


@pytest.mark.filterwarnings("ignore")
def test_no_more_than_20_programs_are_solved(solver):
    """With gradients of very different scales some don't come to an end by themselves."""
    procedure = ConvexConcave(3)
    rows = [gradients(seed, 3, 2.5) for seed in range(6)]
    programs = [procedure.solve(r_TP @ r_TP.T, np.ones(3)).iterations for r_TP in rows]
    assert max(programs) == 20


@pytest.mark.filterwarnings("ignore")  # cvxpy's own
@pytest.mark.parametrize("num_tasks", [2, 3, 11])
def test_agrees_with_newton_on_gradients_of_like_scale(num_tasks):
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    rng = np.random.default_rng(0)
    rows_TP = rng.normal(size=(num_tasks, 50)) * 10 ** rng.uniform(-0.3, 0.3, (num_tasks, 1))
    gram_TT = rows_TP @ rows_TP.T
    solution = ConvexConcave(num_tasks).solve(gram_TT, np.ones(num_tasks))
    np.testing.assert_allclose(solution.weights_T, solve_nash(gram_TT).weights_T, rtol=1e-5)
    assert not solution.fallback
    assert solution.residual < 1e-5


@pytest.mark.parametrize(("error", "fallback"), [(0.4e-3, False), (0.6e-3, True)])
def test_a_residual_above_a_thousandth_is_a_fallback(error, fallback, solver, monkeypatch):
    """Weights that are off by a share e give a_t (Ka)_t = 1 + 2e + e^2."""
    monkeypatch.setattr(ccp, "MAX_PROGRAMS", 0)
    solution = solver.solve(GRAM_TT, solve_nash(GRAM_TT).weights_T * (1 + error))
    assert solution.residual == pytest.approx(2 * error + error**2)
    assert (solution.iterations, bool(solution.fallback)) == (0, fallback)


@pytest.mark.filterwarnings("ignore")
def test_a_program_without_an_answer_is_a_fallback_however_good_its_start_is(solver, monkeypatch):
    monkeypatch.setattr(ccp, "MAX_ITERATIONS", 0)
    exact_T = solve_nash(GRAM_TT).weights_T
    solution = solver.solve(GRAM_TT, exact_T)
    assert solution.weights_T.tolist() == exact_T.tolist()
    assert solution.residual < 1e-9
    assert (solution.iterations, bool(solution.fallback)) == (1, True)
