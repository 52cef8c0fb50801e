"""How methods are built and put to use in a loop of one's own."""

import copy

import pytest
import torch

from mtl_bench import (
    DWA,
    FAMO,
    GLS,
    LS,
    MGDA,
    UW,
    CAGrad,
    Equal,
    FairGrad,
    GradNorm,
    GradVac,
    Method,
    MoCo,
    NashMTL,
    PCGrad,
    TaskForce,
    TaskGradients,
    UPGrad,
)
from mtl_bench.errors import ConfigError, NonFiniteError

MISTAKES = [
    (MGDA, {"normalize": "L2"}, "'none', 'l2', 'loss', 'loss+'"),
    (UW, {"form": "regresion"}, "'regression'"),
    (NashMTL, {"solver": "ecos"}, "'newton', 'ccp'"),
    (NashMTL, {"max_norm": 0}, "more than 0 or None"),
    (NashMTL, {"max_norm": float("nan")}, "more than 0 or None"),
    (LS, {"head_weighting": "Weighted"}, "'weighted', 'unweighted'"),
    (TaskForce, {"transition": "same-batch"}, "'next_batch', 'same_batch'"),
    (CAGrad, {"c": -1.0}, "0 or more"),
    (CAGrad, {"rescale": 3}, "one of 0, 1, 2"),
    (CAGrad, {"rescale": True}, "one of 0, 1, 2"),
    (DWA, {"temperature": 0}, "more than 0"),
    (FairGrad, {"alpha": "2"}, "more than 0"),
]


@pytest.mark.parametrize(("kind", "fields", "allowed"), MISTAKES)
def test_a_value_that_is_not_allowed_is_named_with_what_is(kind, fields, allowed):
    ((name, value),) = fields.items()
    with pytest.raises(ConfigError) as raised:
        kind(2, **fields)
    assert str(raised.value).startswith(f"{kind.__name__}: {name}={value!r}: must be ")
    assert allowed in str(raised.value)


def test_a_number_of_tasks_is_positive_and_arguments_fit_the_signature():
    with pytest.raises(ConfigError, match="num_tasks=0: must be 1 or more"):
        LS(0)
    with pytest.raises(TypeError, match="formm"):
        UW(2, formm="regression")


def test_annotations_of_ones_own_allow_what_they_do_not_name():
    class Own(Method):
        def __init__(self, num_tasks: int, *, rate: "Unknown" = 1, names: list[str] | None = None):  # noqa: F821
            super().__init__(num_tasks)
            self.rate, self.names = rate, names

    assert Own(2, rate=-1, names=["a"]).rate == -1


@pytest.mark.parametrize("kind", [DWA, UW, GradVac, NashMTL, MoCo, GradNorm, TaskForce])
def test_it_lives_on_the_cpu_whatever_the_default_device_is(kind):
    with torch.device("meta"):
        method = kind(2)
    tensors = [*method.parameters(), *method.buffers()]
    assert {tensor.device.type for tensor in tensors} <= {"cpu"}


def losses_of(theta):
    return [100 * theta[0] ** 2, theta[1] ** 2]


@pytest.mark.parametrize("kind", [GLS, UW, DWA, GradNorm, FAMO, NashMTL, TaskForce])
def test_losses_in_another_order_are_those_of_their_tasks(kind):
    methods = [kind(2, window=1) if kind is DWA else kind(2) for _ in range(2)]
    for number in range(6):
        theta = torch.tensor([1.0 + number, 2.0], requires_grad=True)
        found = []
        for method, order in zip(methods, ([0, 1], [1, 0] if number % 2 else [0, 1]), strict=True):
            losses = losses_of(theta)
            gradients = TaskGradients([losses[t] for t in order], [theta], tasks=order)
            found.append(method.step(gradients, epoch=0).weights_T)
            if method.looks_again:
                later = [loss * (1 + t / 2) for t, loss in enumerate(losses_of(theta))]
                method.after_update(TaskGradients([later[t] for t in order], [theta], tasks=order))
        torch.testing.assert_close(*found)


def test_a_loss_of_a_task_that_there_is_not_is_named():
    theta = torch.ones(3, requires_grad=True)
    with pytest.raises(ConfigError, match="a loss is of task 2, but LS was built for 2 tasks"):
        LS(2).step(TaskGradients([*theta], [theta]))


@pytest.mark.parametrize(
    "method",
    [
        *(Equal(2, normalize=normalize) for normalize in ("loss", "loss+")),
        *(MGDA(2, normalize=normalize) for normalize in ("loss", "loss+")),
        MoCo(2, variant="libmtl"),
    ],
)
def test_who_scales_by_losses_refuses_negative_ones(method):
    theta = torch.ones(2, requires_grad=True)
    with pytest.raises(NonFiniteError, match="the loss of task 0 is -2"):
        method.step(TaskGradients([theta[0] - 3, 2 * theta[1]], [theta]))


@pytest.mark.parametrize(
    ("method", "weight"),
    [
        *((MGDA(4), 1), (CAGrad(4, c=0), 1), (MGDA(4, scale="one"), 1)),
        *((PCGrad(4, reduction="mean"), 1), (UPGrad(4, reduction="mean"), 1)),
    ],
)
def test_the_only_task_of_a_step_has_its_gradient(method, weight):
    theta = torch.ones(2, requires_grad=True)
    info = method.step(TaskGradients([3 * theta[0]], [theta], tasks=[1]))
    assert theta.grad.tolist() == pytest.approx([3, 0])
    assert info.weights_T.tolist() == pytest.approx([0, weight, 0, 0])


def test_saved_between_step_and_second_look_it_goes_on_bit_for_bit():
    straight, saved = FAMO(2), FAMO(2)
    for number in range(4):
        theta = torch.tensor([2.0 + number, 1.0], requires_grad=True)
        for method in (straight, saved):
            method.step(TaskGradients(losses_of(theta), [theta]))
        state, saved = copy.deepcopy(saved.state_dict()), FAMO(2)
        saved.load_state_dict(state)
        with pytest.raises(ConfigError, match="looks at every batch again"):
            saved.step(TaskGradients(losses_of(theta), [theta]))
        for method in (straight, saved):
            method.after_update(TaskGradients(losses_of(0.9 * theta), [theta]))
    assert torch.equal(straight.logits.now(), saved.logits.now())


@pytest.mark.parametrize("kind", [UW, GradNorm, FAMO])
def test_a_state_that_is_assigned_is_learned_from(kind):
    straight, assigned = kind(2), kind(2)
    for number in range(4):
        theta = torch.tensor([2.0 + number, 1.0], requires_grad=True)
        for method in (straight, assigned):
            method.step(TaskGradients(losses_of(theta), [theta]))
            if method.looks_again:
                method.after_update(TaskGradients(losses_of(0.9 * theta), [theta]))
        state, assigned = copy.deepcopy(assigned.state_dict()), kind(2)
        assigned.load_state_dict(state, assign=True)
    (ours,), (theirs,) = straight.parameters(), assigned.parameters()
    assert torch.equal(ours, theirs)
