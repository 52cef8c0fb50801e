"""The network against the same network built from PyG's layers."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from benchmarks.pyg_mpnn import PyGMPNN, pyg_name
from mtl_bench.architectures import edge_messages, products
from mtl_bench.architectures.edge_messages import EdgeMessages, hidden_edges
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.pyg import to_pyg
from mtl_bench.gradients import TaskGradients
from mtl_bench.testing import check_architecture
from tests.accelerator import DEVICE, pretend
from tests.molecules import random_store

SIZES = (3, 7, 7, 5, 12, 7)


def doubled(batch):
    """Return the batch in float64, so that only the order of sums differs."""
    return replace(batch, atoms_AF=batch.atoms_AF.double(), pairs_PE=batch.pairs_PE.double())


@pytest.mark.parametrize(("dim", "hidden"), [(64, 128), (6, 5)])
def test_outputs_and_gradients_equal_pyg(dim, hidden):
    torch.manual_seed(1)
    ours = MPNN(("a", "b", "c"), dim=dim, edge_hidden=hidden).double()
    theirs = PyGMPNN(ours).double()
    theirs.load_state_dict({pyg_name(k): v for k, v in ours.state_dict().items()})
    batch = doubled(random_store(SIZES).__getitems__(range(len(SIZES))))
    got = ours(batch)
    expected = theirs(to_pyg(batch, "pairs"))
    for task in got:
        torch.testing.assert_close(got[task], expected[task], rtol=1e-5, atol=1e-6)
        loss = (got[task] - batch.targets[task]).square().mean()
        peer = (expected[task] - batch.targets[task]).square().mean()
        shared = dict(ours.named_parameters())
        mine = torch.autograd.grad(
            loss, list(shared.values()), retain_graph=True, allow_unused=True
        )
        peers = dict(theirs.named_parameters())
        other = torch.autograd.grad(
            peer, [peers[pyg_name(n)] for n in shared], retain_graph=True, allow_unused=True
        )
        for name, a, b in zip(shared, mine, other, strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("backend", ["loop", "batched", "streamed"])
@pytest.mark.parametrize("room", [12, 15])
def test_padding_changes_neither_losses_nor_task_gradients(backend, room):
    torch.manual_seed(1)
    tasks = ("a", "b", "c")
    network = MPNN(tasks, dim=8, edge_hidden=6).double()
    batch = doubled(random_store(SIZES, tasks).__getitems__(range(len(SIZES))))

    def update(batch):
        predictions = network(batch)
        losses = [(predictions[t] - batch.targets[t]).square().mean() for t in tasks]
        own = [network.task_parameters(task) for task in tasks]
        shared = network.shared_parameters()
        gradients = TaskGradients(losses, shared, own, backend=backend, run=50)
        rows_TP = gradients.jacobian().clone()
        gradients.apply(torch.tensor([0.5, 2.0, -1.0]), torch.ones(3))
        return losses, rows_TP, [p.grad for p in network.parameters()]

    for got, wanted in zip(update(batch.padded(room)), update(batch), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)


def test_parameter_counts_are_the_papers():
    names = [str(t) for t in range(11)]
    network = MPNN(names)
    assert sum(p.numel() for p in network.parameters()) == 617_675
    assert sum(p.numel() for p in network.shared_parameters()) == 616_960
    assert sum(p.numel() for p in network.task_parameters("3")) == 65


def test_every_parameter_is_shared_or_owned_by_one_task():
    tasks = ("a", "b")
    batch = random_store(SIZES, tasks).__getitems__(range(len(SIZES)))
    check_architecture(MPNN(tasks, dim=4, edge_hidden=3), batch, tasks)


@pytest.fixture
def messages():
    """A call of EdgeMessages in float64 on molecules of two sizes: function and its parameters."""
    torch.manual_seed(0)
    groups = ((2, 1), (3, 2))
    pairs = []
    for n, count in groups:
        for _ in range(count):
            e = torch.rand(n, n, 4, dtype=torch.float64)
            pairs.append(((e + e.transpose(0, 1)) * (1 - torch.eye(n))[:, :, None]).reshape(-1, 4))
    pairs_PE = torch.cat(pairs)
    h = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    v = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 3, 2, dtype=torch.float64, requires_grad=True)

    def call(h, v, w):
        return EdgeMessages.apply(h, v, w, pairs_PE, hidden_edges(pairs_PE, v), groups)

    return call, (h, v, w)


def test_message_gradients_against_finite_differences(messages):
    call, inputs = messages
    assert torch.autograd.gradcheck(call, inputs)


def test_second_derivatives_of_messages_against_finite_differences(messages):
    call, inputs = messages
    assert torch.autograd.gradgradcheck(call, inputs)


def in_blocks(monkeypatch):
    """Let the blocks be as small as can be."""
    monkeypatch.setattr(products.Blas, "block_floats", 1)


def together(monkeypatch):
    """Do as on a GPU."""
    monkeypatch.setattr(edge_messages, "library_for", lambda weight: products.Device())


WAYS = pytest.mark.parametrize("way", [in_blocks, together])


@WAYS
def test_blocks_of_any_size_give_the_same_gradients(messages, way, monkeypatch):
    call, inputs = messages
    expected = torch.autograd.grad(call(*inputs).square().sum(), inputs)
    way(monkeypatch)
    for got, want in zip(
        torch.autograd.grad(call(*inputs).square().sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(got, want)


@WAYS
def test_many_blocks_cost_bf16_no_accuracy(way, monkeypatch):
    way(monkeypatch)
    torch.manual_seed(0)
    n, molecules = 3, 400
    pairs_PE = torch.rand(molecules, n, n, 4)
    pairs_PE = (pairs_PE + pairs_PE.transpose(1, 2)).reshape(-1, 4)
    inputs = (torch.rand(n * molecules, 3), torch.rand(5, 4), torch.rand(5, 3, 2))

    def grad_hidden(dtype):
        h, v, w, e = (x.bfloat16().to(dtype).requires_grad_() for x in (*inputs, pairs_PE))
        messages = EdgeMessages.apply(h, v, w, e, hidden_edges(e, v), ((n, molecules),))
        return torch.autograd.grad(messages.sum(), v)[0]

    got, want = grad_hidden(torch.bfloat16), grad_hidden(torch.float64)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), want, rtol=2**-7, atol=0)  # of few roundings


@WAYS
def test_the_backends_of_the_task_gradients_agree(way, monkeypatch):
    torch.manual_seed(0)
    tasks = ("a", "b", "c")
    network = MPNN(tasks, dim=8, edge_hidden=6)
    batch = random_store(SIZES, tasks).__getitems__(range(len(SIZES)))

    def gradients(backend):
        predictions = network(batch)
        losses = [(predictions[t] - batch.targets[t]).square().mean() for t in tasks]
        own = [network.task_parameters(task) for task in tasks]
        return TaskGradients(losses, network.shared_parameters(), own, backend=backend)

    weights = torch.tensor([0.5, 2.0, -1.0])
    expected_TP = gradients("loop").jacobian()
    way(monkeypatch)
    written = {}
    for backend in ("loop", "batched"):
        task_gradients = gradients(backend)
        torch.testing.assert_close(task_gradients.jacobian(), expected_TP, rtol=1e-4, atol=1e-7)
        task_gradients.apply(weights, torch.ones(3))
        written[backend] = [p.grad.clone() for p in network.parameters()]
    torch.testing.assert_close(written["loop"], written["batched"], rtol=1e-4, atol=1e-7)


def test_messages_are_differentiated_on_the_device_of_their_inputs():
    with pretend(), DEVICE:
        h, v, w = (torch.rand(*s, requires_grad=True) for s in ((8, 3), (5, 4), (5, 3, 2)))
        pairs_PE = torch.rand(32, 4)
        groups = ((2, 4),)
        messages = EdgeMessages.apply(h, v, w, pairs_PE, hidden_edges(pairs_PE, v), groups)
        backward = partial(torch.autograd.grad, messages, (h, v, w))
        found = torch.func.vmap(backward)(torch.rand(3, *messages.shape))
        for gradient, leaf in zip(found, (h, v, w), strict=True):
            assert gradient.shape == (3, *leaf.shape)
            assert gradient.device == DEVICE


def test_atoms_of_one_molecule_may_come_in_any_order():
    torch.manual_seed(0)
    network = MPNN(("a",), dim=8, edge_hidden=8)
    store = random_store((6,), ("a",))
    order = torch.randperm(6).numpy()
    shuffled = dict(store.arrays)
    for name in ("numbers", "hydrogens", "positions"):
        shuffled[name] = store.arrays[name][order]
    shuffled["bonds"] = store.arrays["bonds"].reshape(6, 6)[order][:, order].ravel()
    twin = type(store)(shuffled, store.targets_MT, store.names)
    a = network(store.__getitems__([0]))["a"]
    b = network(twin.__getitems__([0]))["a"]
    torch.testing.assert_close(a, b)


def test_a_molecule_does_not_see_its_neighbours_in_the_batch():
    torch.manual_seed(0)
    network = MPNN(("a",), dim=8, edge_hidden=8)
    store = random_store(SIZES, ("a",))
    together = store.__getitems__(range(len(SIZES)))
    alone = torch.cat([network(store.__getitems__([m]))["a"] for m in range(len(SIZES))])
    by_target = dict(zip(store.targets_MT[:, 0].tolist(), alone, strict=True))
    for target, prediction in zip(
        together.targets["a"].tolist(), network(together)["a"], strict=True
    ):
        torch.testing.assert_close(prediction, by_target[target])
