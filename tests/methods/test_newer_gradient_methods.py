"""GradVac, FairGrad, UPGrad, ConFIG, SDMGrad and fields of PCGrad and Nash-MTL, by other means."""

import numpy as np
import pytest
import torch

from mtl_bench.methods import (
    ConFIG,
    FairGrad,
    GradVac,
    NashMTL,
    PCGrad,
    SDMGrad,
    UPGrad,
)
from mtl_bench.methods.gradvac import vaccinate
from mtl_bench.methods.sdmgrad import project_onto_simplex
from mtl_bench.testing.methods import gram_of

ONES = torch.ones(5)


def rows(seed, num_tasks=5, size=30, conflict=1.0):
    generator = torch.Generator().manual_seed(seed)
    rows_TP = torch.randn(num_tasks, size, generator=generator, dtype=torch.float64)
    rows_TP[:-1] -= conflict * rows_TP[-1]
    return rows_TP * 10 ** (torch.rand(num_tasks, 1, generator=generator) - 0.5)


def vaccinated(rows_TP, orders_TT, means_TT, beta):
    """Algorithm 1 on the gradients themselves, in loops."""
    means_TT, corrected = means_TT.copy(), []
    for i, order in enumerate(orders_TT):
        g = rows_TP[i].copy()
        for j in order:
            if i == j:
                continue
            other, mean = rows_TP[j], means_TT[i, j]
            phi = g @ other / np.linalg.norm(g) / np.linalg.norm(other)
            if phi < mean:
                sine = np.sqrt(1 - mean**2)
                length = np.linalg.norm(g) * (mean * np.sqrt(1 - phi**2) - phi * sine)
                g = g + length / (np.linalg.norm(other) * sine) * other
            means_TT[i, j] = (1 - beta) * mean + beta * phi
        corrected.append(g)
    return np.stack(corrected), means_TT


@pytest.mark.parametrize("seed", range(4))
def test_gradvac_is_the_algorithm_on_the_gradients_themselves(seed):
    rng = np.random.default_rng(seed)
    ours_TT = theirs_TT = np.zeros((5, 5))
    for step in range(6):
        rows_TP = rows(10 * seed + step).numpy()
        orders_TT = rng.random((5, 5)).argsort(axis=1)
        weights_TT, ours_TT = vaccinate(rows_TP @ rows_TP.T, orders_TT, ours_TT, 0.3)
        expected_TP, theirs_TT = vaccinated(rows_TP, orders_TT, theirs_TT, 0.3)
        np.testing.assert_allclose(weights_TT @ rows_TP, expected_TP, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(ours_TT, theirs_TT, atol=1e-10)


def test_gradvac_of_two_against_torchjd():
    aggregation = pytest.importorskip("torchjd.aggregation")
    ours, theirs = GradVac(2), aggregation.GradVacWeighting(beta=0.5, eps=0.0)
    for seed in range(8):
        gram_TT = gram_of(rows(seed, 2))
        torch.testing.assert_close(ours.weights(ONES[:2], gram_TT), theirs(gram_TT))


def test_gradvac_reaches_the_running_mean():
    gram_TT = gram_of([[1.0, 0.0], [0.6, 0.8]])
    weights_TT, _ = vaccinate(
        gram_TT.numpy(), np.array([[1, 0], [1, 0]]), np.full((2, 2), 0.9), 0.0
    )
    turned = weights_TT[0]
    cosine = turned @ gram_TT.numpy()[:, 1] / np.sqrt(turned @ gram_TT.numpy() @ turned)
    assert cosine == pytest.approx(0.9)


def test_gradvac_of_equal_gradients_for_long_stays_in_proportion():
    method = GradVac(3)
    for _ in range(200):
        method.weights(ONES[:3], torch.ones(3, 3))
    weights_T = method.weights(ONES[:3], torch.eye(3))
    assert weights_T.isfinite().all()
    assert method.means_TT.max() <= 1


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_fairgrad_against_torchjd(alpha):
    aggregation = pytest.importorskip("torchjd.aggregation")
    gram_TT = gram_of(rows(0) / 5)
    theirs_T = aggregation.FairGradWeighting(alpha=alpha)(gram_TT)
    ours_T = FairGrad(5, alpha=alpha).weights(ONES, gram_TT)
    torch.testing.assert_close(ours_T, theirs_T, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_upgrad_is_t_times_torchjds(seed):
    """TorchJD takes the mean, and regularises by 1e-4, which is turned down as far as it goes."""
    aggregation = pytest.importorskip("torchjd.aggregation")
    linalg = pytest.importorskip("torchjd.linalg")
    projector = linalg.QuadprogProjector(norm_eps=0.0, reg_eps=1e-12)
    gram_TT = gram_of(rows(seed, conflict=3.0))
    theirs_T = aggregation.UPGradWeighting(projector=projector)(gram_TT)
    torch.testing.assert_close(UPGrad(5).weights(ONES, gram_TT), 5 * theirs_T, rtol=1e-6, atol=1e-8)
    mean_T = UPGrad(5, reduction="mean").weights(ONES, gram_TT)
    torch.testing.assert_close(mean_T, theirs_T, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_upgrad_conflicts_with_no_task_and_leaves_alone_what_conflicts_with_none(seed):
    gram_TT = gram_of(rows(seed, conflict=3.0))
    weights_T = UPGrad(5).weights(ONES, gram_TT)
    norms_T = gram_TT.diagonal().sqrt()
    assert (gram_TT @ weights_T / norms_T >= -1e-9 * norms_T.sum()).all()
    assert UPGrad(5).weights(ONES, gram_TT.abs()).tolist() == [1.0] * 5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_tasks", [1, 2, 5])
def test_config_against_torchjd(seed, num_tasks):
    aggregation = pytest.importorskip("torchjd.aggregation")
    rows_TP = rows(seed, num_tasks)
    ours_P = ConFIG(num_tasks).weights(ONES[:num_tasks], gram_of(rows_TP)) @ rows_TP
    torch.testing.assert_close(ours_P, aggregation.ConFIG()(rows_TP))
    cosines_T = rows_TP @ ours_P / rows_TP.norm(dim=1)
    torch.testing.assert_close(cosines_T, cosines_T[:1].expand(num_tasks))


def test_config_of_opposed_gradients_stands_still_and_says_so():
    method = ConFIG(2)
    assert method.weights(ONES[:2], gram_of([[1.0, 0.0], [-3.0, 0.0]])).tolist() == [0.0, 0.0]
    assert method.diagnostics["solver_fallback"] == 1


def health(method):
    """What the step log gets: iterations, residual and fallback."""
    return list(method.diagnostics.values())


def test_config_without_any_gradient():
    method = ConFIG(3)
    assert method.weights(ONES[:3], torch.zeros(3, 3)).tolist() == [0.0] * 3
    assert health(method) == [0, 0, 1]


@pytest.mark.parametrize("power", [-40, 40])
def test_the_scale_of_the_gradients_is_nothing_to_config(power):
    gram_TT = gram_of(rows(0, 3)).double()
    method = ConFIG(3)
    weights_T = method.weights(ONES[:3], gram_TT)
    assert health(method)[::2] == [1, 0]
    assert method.weights(ONES[:3], gram_TT * 4.0**power).tolist() == weights_T.tolist()


def test_config_gives_a_gradient_of_zero_no_weight_and_says_so():
    method = ConFIG(3)
    weights_T = method.weights(ONES[:3], torch.diag(torch.tensor([1.0, 0.0, 9.0])))
    torch.testing.assert_close(weights_T, torch.tensor([2.0, 0.0, 2 / 3]).double())
    assert health(method)[::2] == [1, 1]


@pytest.mark.parametrize(("residual", "fallback"), [(0.8e-6, 0), (1.2e-6, 1)])
def test_config_is_a_fallback_above_a_millionth(residual, fallback):
    """Of two gradients in a plane at an angle of 2r no direction has the cosine of a third.

    Its products miss 1 by r at most.
    """
    angle = torch.tensor(2 * residual).double()
    rows_TP = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double()
    rows_TP[2, 0], rows_TP[2, 1] = -angle.sin(), angle.cos()
    method = ConFIG(3)
    method.weights(ONES[:3], rows_TP @ rows_TP.T)
    iterations, found, said = health(method)
    assert (iterations, said) == (1, fallback)
    assert found == pytest.approx(residual, rel=0.01)


@pytest.mark.parametrize(("smallest", "weight"), [(1e-8, 1.0), (4e-12, 1.0), (1e-12, 0.0)])
def test_config_takes_eigenvalues_of_1e_12_of_the_largest_for_zero(smallest, weight):
    """Two gradients that all but cancel: u is their sum, and G their sum again."""
    gram_TT = torch.tensor([[1, smallest - 1], [smallest - 1, 1]], dtype=torch.float64)
    method = ConFIG(2)
    weights_T = method.weights(ONES[:2], gram_TT)
    torch.testing.assert_close(weights_T, torch.full_like(weights_T, weight), rtol=1e-3, atol=0)
    assert health(method)[2] == (weight == 0)


@pytest.mark.parametrize("part", ["direction", "magnitude"])
@pytest.mark.parametrize(
    "gram",
    [[[1, -2], [-2, 4]], [[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1]], [[0, 0], [0, 0]]],
    ids=["projections cancel", "gradients cancel", "zero"],
)
def test_pcgrad_takes_both_parts_where_one_has_no_length(part, gram):
    gram_TT = torch.tensor(gram).double()
    whole, partly = PCGrad(len(gram), seed=1), PCGrad(len(gram), seed=1, part=part)
    expected_T = whole.weights(ONES[: len(gram)], gram_TT)
    assert partly.weights(ONES[: len(gram)], gram_TT).tolist() == expected_T.tolist()
    assert expected_T.isfinite().all()


@pytest.mark.parametrize(
    "fields",
    [
        (PCGrad, {"part": "direction"}),
        (PCGrad, {"part": "magnitude"}),
        (SDMGrad, {}),
        (GradVac, {}),
    ],
    ids=str,
)
def test_the_scale_of_the_gradients_is_nothing(fields):
    kind, arguments = fields
    gram_TT = gram_of(rows(3, conflict=2.0)).double()
    weights = [
        kind(5, seed=1, **arguments).weights(ONES, gram_TT * 4.0**power).tolist()
        for power in (-40, 0, 40)
    ]
    assert weights[0] == weights[1] == weights[2]


def test_gradvac_of_gradients_that_are_opposed_but_for_rounding():
    for seed in range(50):
        row_P = torch.randn(7, generator=torch.Generator().manual_seed(seed)).double()
        method = GradVac(2)
        for factor in (-3.0, 0.7):
            weights_T = method.weights(ONES[:2], gram_of(torch.stack([row_P, factor * row_P])))
            assert weights_T.isfinite().all()


def test_sdmgrad_without_any_gradient():
    assert SDMGrad(2).weights(ONES[:2], torch.zeros(2, 2)).tolist() == [0.5, 0.5]


def test_sdmgrad_of_tasks_without_a_share_begins_with_equal_ones():
    gram_TT = gram_of(rows(0, 2))
    method = SDMGrad(3, iterations=1, learning_rate=0.1)
    method.simplex_T.copy_(torch.tensor([1.0, 0.0, 0.0]))
    method.present = torch.tensor([1, 2])
    weights_T = method.weights(ONES[:2], gram_TT)
    alone = SDMGrad(2, iterations=1, learning_rate=0.1)
    torch.testing.assert_close(weights_T, alone.weights(ONES[:2], gram_TT))
    assert method.simplex_T.tolist() == [1, 0, 0]


def test_sdmgrad_against_torchjd():
    aggregation = pytest.importorskip("torchjd.aggregation")
    fields = {"momentum": 0.5, "iterations": 20}
    ours = SDMGrad(5, lam=0.3, learning_rate=0.5, **fields)
    theirs = aggregation.SDMGradWeighting(lr=0.5, momentum=0.5, n_iter=20, lambda_=0.3)
    for seed in range(4):
        gram_TT = gram_of(rows(seed))
        torch.testing.assert_close(
            ours.weights(ONES, gram_TT), theirs(gram_TT), rtol=1e-5, atol=1e-7
        )


def test_sdmgrad_nears_the_minimum_of_its_objective():
    method = SDMGrad(5, lam=0.2, learning_rate=0.1, iterations=3000)
    gram_TT = gram_of(rows(1))
    weights_T = method.weights(ONES, gram_TT)
    w_T = 1.2 * weights_T - 0.2 / 5
    slope_T = gram_TT @ weights_T
    assert w_T.min() >= -1e-12
    assert (w_T @ slope_T - slope_T.min()).item() < 1e-6 * gram_TT.diagonal().max()


def test_the_simplex_is_reached_at_its_nearest_point():
    for seed in range(20):
        point_T = np.random.default_rng(seed).normal(size=6)
        w_T = project_onto_simplex(point_T)
        assert w_T.min() >= 0
        assert w_T.sum() == pytest.approx(1)
        away_T = point_T - w_T  # a normal of the simplex: largest, and equal, where w is positive
        np.testing.assert_allclose(away_T[w_T > 0], away_T.max(), atol=1e-12)


def test_pcgrad_in_fixed_order_is_the_one_of_the_tasks():
    rows_TP = rows(2, conflict=3.0)
    expected_P = 0
    for i, row in enumerate(rows_TP):
        for j, other in enumerate(rows_TP):
            if i != j and row @ other < 0:
                row = row - row @ other / (other @ other) * other
        expected_P = expected_P + row
    for seed in (0, 1):
        method = PCGrad(5, permutation="fixed", seed=seed)
        weights_T = method.weights(ONES, gram_of(rows_TP))
        torch.testing.assert_close(weights_T @ rows_TP, expected_P)


def test_parts_of_pcgrad_are_its_direction_and_its_length():
    rows_TP = rows(3, conflict=3.0)

    def update(part):
        method = PCGrad(5, permutation="fixed", part=part)
        return method.weights(ONES, gram_of(rows_TP)) @ rows_TP

    whole_P, total_P = update("both"), rows_TP.sum(dim=0)
    assert not torch.allclose(whole_P / whole_P.norm(), total_P / total_P.norm(), atol=1e-3)
    direction_P = whole_P * total_P.norm() / whole_P.norm()
    torch.testing.assert_close(update("direction"), direction_P)
    torch.testing.assert_close(update("magnitude"), total_P * whole_P.norm() / total_P.norm())


@pytest.mark.parametrize("every", [1, 2, 3])
def test_nash_weights_are_kept_between_the_steps_that_renew_them(every):
    method = NashMTL(5, update_weights_every=every)
    grams = [gram_of(rows(seed)) for seed in range(7)]
    for step, gram_TT in enumerate(grams):
        weights_T = method.weights(ONES, gram_TT)
        expected_T = NashMTL(5).weights(ONES, grams[step - step % every])
        assert torch.equal(weights_T, expected_T)
        assert step % every == 0 or health(method) == [0, 0, 0]
    assert ("steps" in method.state_dict()) == (every > 1)
