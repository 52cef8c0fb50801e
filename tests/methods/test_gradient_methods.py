"""The methods that look at gradients: oracles, closed forms and a table of values."""

import copy
import itertools

import numpy as np
import pytest
import torch

from mtl_bench.errors import ConfigError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import MGDA, STCH, AlignedMTL, CAGrad, GradDrop, NashMTL, PCGrad, graddrop
from mtl_bench.methods.pcgrad import project_conflicts
from mtl_bench.methods.torchjd import REFUSED
from mtl_bench.testing.methods import advance, gram_of, rounds
from tests.methods.streams import Network, build, needs_qpsolvers

ROWS = [[1.0, 2.0, 0.0, 1.0], [-2.0, 1.0, 1.0, 0.0], [0.5, -1.0, 0.0, 2.0]]
LOSSES = [0.5, 2.0, 1.0]

VALUES = {
    ("ls", "nash"): [1.0, 1.0, 1.0],
    ("stl", "nash"): [1.0, 1.0, 1.0],
    ("dwa", "nash"): [0.3333, 0.3333, 0.3333],
    ("uw", "nash"): [0.5, 0.5, 0.5],
    ("uw", "aligned"): [1.0, 1.0, 1.0],
    ("mgda", "nash"): [0.6366, 1.1445, 1.219],
    ("mgda", "aligned"): [0.2122, 0.3815, 0.4063],
    ("cagrad", "nash"): [0.8621, 1.3084, 1.3843],
    ("cagrad", "aligned"): [0.3333, 0.5505, 0.5844],
    ("imtl", "nash"): [0.2197, 0.3846, 0.3957],
    ("nashmtl", "nash"): [0.3871, 0.5042, 0.5209],
    ("alignedmtl", "aligned"): [0.7209, 0.9513, 0.983],
}


@pytest.mark.parametrize(("name", "protocol"), VALUES)
def test_values(name, protocol):
    weights_T = build(name, 3, protocol).weights(torch.tensor(LOSSES), gram_of(ROWS))
    assert [round(w, 4) for w in weights_T.tolist()] == VALUES[name, protocol]


def random_rows(seed, num_tasks, size=30):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_tasks, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["none", "l2", "loss", "loss+"])
def test_mgda_normalises_before_it_solves(kind):
    rows_TP, losses_T = random_rows(0, 4), torch.tensor([0.1, 1.0, 2.0, 30.0]).double()
    divisor = {"none": 1, "l2": rows_TP.norm(dim=1), "loss": losses_T}.get(
        kind, losses_T * rows_TP.norm(dim=1)
    )
    normal_TP = rows_TP / torch.as_tensor(divisor).reshape(-1, 1)
    expected_T = MGDA(4, scale="one").weights(losses_T, gram_of(normal_TP))
    actual_T = MGDA(4, scale="one", normalize=kind).weights(losses_T, gram_of(rows_TP))
    torch.testing.assert_close(actual_T, expected_T)
    tasks_T = MGDA(4, normalize=kind).weights(losses_T, gram_of(rows_TP))
    torch.testing.assert_close(tasks_T, 4 * expected_T)


def test_mgda_refuses_losses_that_it_could_not_divide_by():
    with pytest.raises(TrainingError, match="the loss of task 1 is not finite"):
        MGDA(2).weights(torch.tensor([1.0, torch.nan]), torch.eye(2))


@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_against_projections_of_the_gradients_themselves(seed):
    rows_TP = random_rows(seed, 6, 4)
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(6, generator=generator) for _ in range(6)])
    total_P = torch.zeros(4, dtype=torch.float64)
    for i in range(6):
        g = rows_TP[i].clone()
        for j in orders[i].tolist():
            if j != i and g @ rows_TP[j] < 0:
                g -= (g @ rows_TP[j]) / rows_TP[j].square().sum() * rows_TP[j]
        total_P += g
    weights_T = project_conflicts(gram_of(rows_TP).numpy(), orders.numpy()).sum(axis=0)
    torch.testing.assert_close(torch.from_numpy(weights_T) @ rows_TP, total_P)


def test_pcgrad_draws_every_order_and_one_for_all_if_told_to():
    rows_TP = random_rows(1, 3, 2)
    gram_TT = gram_of(rows_TP)
    each, shared = PCGrad(3), PCGrad(3, permutation="shared", reduction="mean")
    seen = {tuple(each.weights(torch.ones(3), gram_TT).tolist()) for _ in range(200)}
    same = {tuple(shared.weights(torch.ones(3), gram_TT).tolist()) for _ in range(200)}
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    expected = {
        tuple((project_conflicts(gram_TT.numpy(), order.expand(3, 3).numpy()).sum(0) / 3).tolist())
        for order in orders
    }
    assert same == expected
    assert len(seen) >= len(expected) > 1


def test_pcgrad_draws_an_order_for_each_task_apart_from_the_others():
    gram_TT = gram_of([[1.0, 0.2], [-0.6, 0.9], [-0.5, -1.0]])
    orders = list(itertools.permutations(range(3)))

    def outcomes(choices):
        projected = (project_conflicts(gram_TT.numpy(), np.array(rows)) for rows in choices)
        return {tuple(weights_TT.sum(axis=0).tolist()) for weights_TT in projected}

    method = PCGrad(3)
    seen = {tuple(method.weights(torch.ones(3), gram_TT).tolist()) for _ in range(400)}
    assert seen == outcomes(itertools.product(orders, repeat=3))
    assert len(seen) > len(outcomes([order] * 3 for order in orders))


@pytest.mark.parametrize("scale", [1.0, 1e-20])
def test_graddrop_against_its_elementwise_definition(scale):
    rows_TP = scale * random_rows(3, 4, 500).float()
    rows_TP[:, 0] = 0
    method = GradDrop(4, seed=7)
    seed = torch.randint(2**62, (), generator=torch.Generator().manual_seed(7)).item()
    uniform_P = torch.rand(500, generator=torch.Generator().manual_seed(seed))
    update_P = method.aggregate(rows_TP)
    for p in range(500):
        column = rows_TP[:, p].double()
        purity = 0.5 * (1 + column.sum() / column.abs().sum()) if column.abs().sum() > 0 else 0.5
        keep = [
            (g > 0 and purity > uniform_P[p]) or (g < 0 and purity < uniform_P[p]) for g in column
        ]
        expected = sum((g for g, kept in zip(column.tolist(), keep, strict=True) if kept), 0.0)
        assert update_P[p].item() == pytest.approx(expected, rel=1e-5)


def test_graddrop_is_the_same_in_blocks_of_columns(monkeypatch):
    rows_TP = random_rows(3, 4, 500).float()
    whole_P = GradDrop(4, seed=7).aggregate(rows_TP)
    monkeypatch.setattr(graddrop, "BLOCK", 64)
    torch.testing.assert_close(GradDrop(4, seed=7).aggregate(rows_TP), whole_P)


def test_graddrop_has_the_mean_of_its_distribution():
    rows_TP = torch.tensor([[3.0], [-1.0]]).expand(2, 100_000)
    mean = GradDrop(2).aggregate(rows_TP).mean().item()
    assert mean == pytest.approx(0.75 * 3 - 0.25 * 1, rel=0.02)


@pytest.mark.parametrize("num_tasks", [1, 2, 5])
def test_alignedmtl_makes_all_eigenvalues_equal(num_tasks):
    gram_TT = gram_of(random_rows(0, num_tasks))
    method = AlignedMTL(num_tasks)
    values_T, vectors_TT = torch.linalg.eigh(gram_TT)
    balance_TT = vectors_TT @ torch.diag((values_T[0] / values_T).sqrt()) @ vectors_TT.T
    torch.testing.assert_close(method.weights(torch.ones(num_tasks), gram_TT), balance_TT.sum(1))
    aligned_T = torch.linalg.eigvalsh(balance_TT @ gram_TT @ balance_TT)
    torch.testing.assert_close(aligned_T, aligned_T[:1].expand(num_tasks))


@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("rank", [3, 6])
def test_alignedmtl_is_t_times_torchjds_for_the_mean(mode, rank):
    torchjd = pytest.importorskip("torchjd.aggregation")
    gram_TT = gram_of(random_rows(2, 5, rank))
    theirs_T = torchjd.AlignedMTLWeighting(scale_mode=mode)(gram_TT)
    ours_T = AlignedMTL(5, scale_mode=mode).weights(torch.ones(5), gram_TT)
    torch.testing.assert_close(ours_T, 5 * theirs_T, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("smallest", "rank"), [(4e-7, 3), (3e-7, 2), (0.0, 2)])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_alignedmtl_says_which_share_of_the_rank_is_lacking(smallest, rank, scale):
    """Eigenvalues of up to T = 3 times float32's epsilon of the largest are none."""
    values_T = torch.tensor([1.0, 0.25, smallest]).double()
    method = AlignedMTL(3)
    weights_T = method.weights(torch.ones(3), scale * torch.diag(values_T))
    expected_T = torch.where(torch.arange(3) < rank, (values_T[rank - 1] / values_T).sqrt(), 0.0)
    torch.testing.assert_close(weights_T, expected_T)
    health = {"solver_iterations": 1, "solver_residual": 1 - rank / 3, "solver_fallback": 0}
    assert method.diagnostics == health


@pytest.mark.parametrize(
    ("normalize", "reads"), [("none", False), ("l2", False), ("loss", True), ("loss+", True)]
)
def test_mgda_reads_losses_where_they_divide_gradients(normalize, reads):
    assert MGDA(2, normalize=normalize).reads_losses == reads


@pytest.mark.parametrize("first", [0, 3])
def test_the_base_tells_a_method_once_that_an_epoch_has_ended(first):
    method = STCH(2)
    theta = torch.tensor([1.0, 2.0], requires_grad=True)
    ended = []
    for epoch in (0, 0, 1, 1, 1, 2):
        gradients = TaskGradients([theta[0].square(), theta[1].square()], [theta])
        method.step(gradients, epoch=first + epoch)
        ended.append(int(method.epoch))
    assert ended == [0, 0, 1, 1, 1, 2]


def test_alignedmtl_without_any_gradient():
    method = AlignedMTL(3)
    assert method.weights(torch.ones(3), torch.zeros(3, 3)).tolist() == [1.0] * 3
    health = {"solver_iterations": 0, "solver_residual": 1, "solver_fallback": 1}
    assert method.diagnostics == health


def test_alignedmtl_takes_what_float32_cannot_tell_from_zero_for_zero():
    """Three gradients in a plane, and the third dimension that rounding seems to give them."""
    exact_TT = gram_of([[1.0, 2.0], [2.0, -1.0], [3.0, 1.0]])
    noise_TT = 1e-7 * torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    exact_T, noisy_T = (
        AlignedMTL(3).weights(torch.ones(3), gram_TT) for gram_TT in (exact_TT, exact_TT + noise_TT)
    )
    torch.testing.assert_close(noisy_T, exact_T, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("smallest", "kept"), [(2.9, False), (3.1, True)])
def test_alignedmtl_reports_the_rank_that_is_missing(smallest, kept):
    """Orthogonal gradients, one of which is as short as T times float32's epsilon or a bit longer.

    All become as long as the shortest that counts.
    """
    value = smallest * torch.finfo(torch.float32).eps
    method = AlignedMTL(3)
    weights_T = method.weights(torch.ones(3), torch.diag(torch.tensor([2.0, 1.0, 2 * value])))
    expected = [value**0.5, (2 * value) ** 0.5, 1] if kept else [0.5**0.5, 1, 0]
    assert weights_T.tolist() == pytest.approx(expected, rel=1e-6)
    assert method.diagnostics == {
        "solver_iterations": 1,
        "solver_residual": 0 if kept else pytest.approx(1 / 3),
        "solver_fallback": 0,
    }


def test_alignedmtl_without_any_gradient_falls_back_to_ones():
    method = AlignedMTL(3)
    assert method.weights(torch.ones(3), torch.zeros(3, 3)).tolist() == [1.0] * 3
    assert list(method.diagnostics.values()) == [0, 1, 1]


def test_cagrad_without_a_ball_is_the_mean_and_its_factors_are_factors():
    gram_TT = gram_of(random_rows(0, 4))
    torch.testing.assert_close(
        CAGrad(4, c=0.0, rescale=0, scale="one").weights(torch.ones(4), gram_TT),
        torch.full((4,), 0.25, dtype=torch.float64),
    )
    plain_T = CAGrad(4, c=0.5, rescale=0, scale="one").weights(torch.ones(4), gram_TT)
    for rescale, divisor in ((1, 1.25), (2, 1.5)):
        scaled_T = CAGrad(4, c=0.5, rescale=rescale).weights(torch.ones(4), gram_TT)
        torch.testing.assert_close(scaled_T, 4 * plain_T / divisor)


def test_nashmtl_clips_the_shared_gradient_alone():
    clipped, free = Network(), Network()
    weights_T = NashMTL(3).step(clipped.gradients()).weights_T
    NashMTL(3, max_norm=None).step(free.gradients())
    assert clipped.shared_gradient().norm().item() == pytest.approx(1, rel=1e-4)
    assert free.shared_gradient().norm().item() == pytest.approx(3**0.5, rel=1e-4)
    plain = Network()
    plain.gradients().apply(torch.ones(3))
    for clip, own, weight in zip(
        clipped.head_gradients(), plain.head_gradients(), weights_T.float(), strict=True
    ):
        torch.testing.assert_close(clip, weight * own)


def test_nashmtl_lengthens_no_gradient():
    short, free = Network(), Network()
    NashMTL(3, max_norm=10.0).step(short.gradients())
    NashMTL(3, max_norm=None).step(free.gradients())
    torch.testing.assert_close(short.shared_gradient(), free.shared_gradient())


def test_nashmtl_shortens_no_gradient_that_is_short_enough():
    """Where gradients all but cancel, the weights of 1e4 leave an update of length 0.2."""
    rows_TP = torch.tensor([[1.0, 1e-5], [-1.0, 1e-5]])
    _, gradient_P = advance(NashMTL(2, max_norm=0.5), torch.ones(2), rows_TP)
    assert gradient_P.norm().item() == pytest.approx(0.2, rel=0.01)


def test_nashmtl_without_any_gradient_takes_equal_weights():
    _, gradient_P = advance(NashMTL(3), torch.ones(3), torch.zeros(3, 4))
    assert gradient_P.tolist() == [0.0] * 4


@pytest.mark.filterwarnings("ignore")  # cvxpy's own
def test_nashmtl_starts_the_convex_programs_at_the_weights_of_the_step_before():
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    method = NashMTL(3, solver="ccp")
    assert method.previous_T.tolist() == [1.0] * 3
    gram_TT = gram_of(random_rows(0, 3))
    first_T = method.weights(torch.ones(3), gram_TT)
    programs = method.diagnostics["solver_iterations"]
    assert torch.equal(method.previous_T, first_T)
    again_T = method.weights(torch.ones(3), gram_TT)
    assert method.diagnostics["solver_iterations"] < programs
    torch.testing.assert_close(again_T, first_T, rtol=1e-3, atol=0)
    method.present = torch.tensor([0, 2])
    pair_S = method.weights(torch.ones(2), gram_TT[[0, 2]][:, [0, 2]])
    assert method.previous_T.tolist() == [pair_S[0], again_T[1], pair_S[1]]


@pytest.mark.parametrize("head_weighting", ["weighted", "unweighted"])
def test_imtl_hybrid_scales_losses_before_it_combines_them(head_weighting):
    method = build("imtl", 3, variant="hybrid", learning_rate=0.1, head_weighting=head_weighting)
    s_T = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([s_T], lr=0.1)
    plain = build("imtl", 3)
    for _ in range(5):
        network, scaled = Network(), Network()
        scales = s_T.detach().exp().float()
        weights_T = method.step(network.gradients()).weights_T
        base = scaled.gradients()
        losses_T = base.losses_T.double()
        losses = [scale * loss for scale, loss in zip(scales, base.losses, strict=True)]
        info = plain.step(TaskGradients(losses, base.shared, base.own))
        torch.testing.assert_close(weights_T, info.weights_T * scales, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            network.shared_gradient(), scaled.shared_gradient(), rtol=1e-4, atol=1e-6
        )
        factors_T = weights_T if head_weighting == "weighted" else scales
        reference = Network()
        reference.gradients().apply(torch.ones(3), factors_T)
        for own, expected in zip(network.head_gradients(), reference.head_gradients(), strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-6)
        optimizer.zero_grad()
        (s_T.exp() * losses_T - s_T).sum().backward()
        optimizer.step()
    torch.testing.assert_close(method.log_scales.now(), s_T.detach())


@needs_qpsolvers
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("UPGrad", None),
        ("UPGradWeighting", None),
        ("DualProj", {"pref_vector": [0.2, 0.3, 0.5]}),
        ("AlignedMTL", {"pref_vector": [1.0, 2.0, 0.5]}),
        ("Constant", {"weights": [1, 2, 3]}),
        ("ConstantWeighting", {"weights": [1, 2, 3]}),
        ("Krum", {"n_byzantine": 1, "n_selected": 1}),
        ("Mean", None),
        ("ConFIG", None),
        ("TrimmedMean", {"trim_number": 1}),
        ("GradDrop", None),
    ],
)
def test_torchjd_aggregators_write_what_they_return(name, arguments):
    torchjd = pytest.importorskip("torchjd.aggregation")
    num_tasks = 4 if name == "Krum" else 3
    losses_T, grads_TP = next(rounds(1, num_tasks))
    method = build("torchjd", num_tasks, aggregator=name, arguments=arguments)
    _, gradient_P = advance(method, losses_T, grads_TP)
    made = {
        key: torch.tensor(value, dtype=torch.float32) if isinstance(value, list) else value
        for key, value in (arguments or {}).items()
    }
    theirs = getattr(torchjd, name.removesuffix("Weighting"))(**made)
    with torch.random.fork_rng(devices=[]):
        seed = torch.randint(2**62, (), generator=torch.Generator().manual_seed(0)).item()
        torch.manual_seed(seed)
        expected_P = theirs(grads_TP)
    torch.testing.assert_close(gradient_P, expected_P, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "fields"), [("graddrop", {}), ("torchjd", {"aggregator": "Random"}), ("rlw", {})]
)
def test_no_two_steps_draw_the_same(name, fields):
    if name == "torchjd":
        pytest.importorskip("torchjd")
    method = build(name, 2, **fields)
    rows_TP = random_rows(0, 2, 100).float()
    updates = [advance(method, torch.ones(2), rows_TP)[1] for _ in range(60)]
    assert len({tuple(update.tolist()) for update in updates}) == 60


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Constant", {"weights": [1, 2]}), ("GradDrop", {"leak": [0.5, 1.0]})],
)
def test_tensors_of_a_torchjd_aggregator_follow_the_gradients(name, arguments):
    pytest.importorskip("torchjd")
    method = build("torchjd", 2, aggregator=name, arguments=arguments)
    saved = copy.deepcopy(method.state_dict())
    grads_TP = torch.ones(2, 5, device="meta")
    assert method._call(grads_TP).is_meta
    method.load_state_dict(saved)
    assert method._call(grads_TP).is_meta


@pytest.mark.parametrize("name", ["Random", "RandomWeighting"])
def test_of_the_gradients_torchjd_brings_one_number_per_task_to_the_cpu(name, monkeypatch):
    pytest.importorskip("torchjd")
    method, looked_at = build("torchjd", 3, aggregator=name), []
    finite = method.finite
    monkeypatch.setattr(method, "finite", lambda *a: looked_at.append(a[0].shape) or finite(*a))
    losses_T, grads_TP = next(rounds(1, 3))
    info, _ = advance(method, losses_T, grads_TP)
    assert set(looked_at) == {(3,)}
    assert info.weights_T.dtype == torch.float64
    assert info.weights_T.device.type == "cpu"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"aggregator": "UPgrad"}, "did you mean UPGrad"),
        ({"aggregator": "MGDAWeight"}, r"did you mean MGDAWeighting or \w+ or \w+\?$"),
        ({"aggregator": "zzz"}, "there are AlignedMTL, "),
        ({"aggregator": "Aggregator"}, "no such aggregator"),
        ({"aggregator": "Krum"}, "n_byzantine"),
        ({"aggregator": "Mean", "arguments": {"c": 1}}, "unexpected keyword"),
        ({"aggregator": "Krum", "arguments": {"n_byzantine": -1}}, "n_byzantine"),
        ({"aggregator": "UPGrad", "arguments": {"pref_vector": [[1], [2, 3]]}}, "pref_vector"),
        ({"aggregator": "NashMTL"}, "can't be used: .*method=nashmtl method.solver=ccp"),
        ({"aggregator": "MoDoWeighting"}, "two independent batches"),
        ({"aggregator": "SDMGradWeighting"}, "two independent batches"),
        ({"aggregator": "CRMOGMWeighting"}, "wraps another weighting"),
    ],
)
def test_torchjd_mistakes_are_one_line(fields, message):
    pytest.importorskip("torchjd")
    with pytest.raises(ConfigError, match=message):
        build("torchjd", 3, **fields)


def test_what_is_refused_of_torchjd_is_in_it():
    assert set(REFUSED) < set(pytest.importorskip("torchjd.aggregation").__all__)
