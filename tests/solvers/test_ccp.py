"""The official procedure agrees with Newton where it works, and says so where it is missing."""

import sys

import numpy as np
import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.solvers import solve_nash
from mtl_bench.solvers.ccp import ConvexConcave


def test_without_cvxpy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ConfigError, match="nash-ccp"):
        ConvexConcave(3)


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
