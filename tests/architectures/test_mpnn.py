"""The network against the same network built from PyG's layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from mtl_bench.architectures.edge_messages import EdgeMessages
from mtl_bench.architectures.mpnn import MPNN
from tests.molecules import random_store

pyg = pytest.importorskip("torch_geometric.nn")

SIZES = (3, 7, 7, 5, 12, 7)


def edge_list(batch):
    """Return PyG's view of a batch: edge_index, edge_attr without self-loops, molecule of atoms."""
    sources, targets, rows, molecule = [], [], [], []
    atom = pair = 0
    for n, count in batch.groups:
        for _ in range(count):
            i, j = (~torch.eye(n, dtype=torch.bool)).nonzero(as_tuple=True)
            sources.append(atom + j)
            targets.append(atom + i)
            scaled = batch.pairs_PE[pair + i * n + j]
            rows.append(scaled[:, :5] / scaled[:, 5:])
            molecule += [len(molecule and torch.tensor(molecule).unique())] * n
            atom, pair = atom + n, pair + n * n
    edge_index = torch.stack([torch.cat(sources), torch.cat(targets)])
    return edge_index, torch.cat(rows), torch.tensor(molecule)


class PyGNetwork(nn.Module):
    """Linear, 3 x (NNConv, GRU), Set2Set, Linear and heads from torch_geometric."""

    def __init__(self, tasks, dim, hidden):
        super().__init__()
        self.embedding = nn.Linear(11, dim)
        edge = nn.Sequential(nn.Linear(5, hidden), nn.ReLU(), nn.Linear(hidden, dim * dim))
        self.convolution = pyg.NNConv(dim, dim, edge, aggr="mean")
        self.gru = nn.GRU(dim, dim)
        self.set2set = pyg.Set2Set(dim, processing_steps=3)
        self.readout = nn.Linear(2 * dim, dim)
        self.heads = nn.ModuleDict({task: nn.Linear(dim, 1) for task in tasks})

    def forward(self, x, edge_index, edge_attr, molecule):
        out = functional.relu(self.embedding(x))
        state = out[None]
        for _ in range(3):
            message = functional.relu(self.convolution(out, edge_index, edge_attr))
            out, state = self.gru(message[None], state)
            out = out[0]
        z = functional.relu(self.readout(self.set2set(out, molecule)))
        return {task: head(z)[:, 0] for task, head in self.heads.items()}


NAMES = {
    "convolution.hidden.": "convolution.nn.0.",
    "convolution.output.": "convolution.nn.2.",
    "convolution.root.": "convolution.lin.",
    "set2set.lstm.weight_ih": "set2set.lstm.weight_ih_l0",
    "set2set.lstm.weight_hh": "set2set.lstm.weight_hh_l0",
    "set2set.lstm.bias_ih": "set2set.lstm.bias_ih_l0",
    "set2set.lstm.bias_hh": "set2set.lstm.bias_hh_l0",
    "gru.weight_ih": "gru.weight_ih_l0",
    "gru.weight_hh": "gru.weight_hh_l0",
    "gru.bias_ih": "gru.bias_ih_l0",
    "gru.bias_hh": "gru.bias_hh_l0",
}


def pyg_name(name):
    for ours, theirs in NAMES.items():
        if name.startswith(ours):
            return name.replace(ours, theirs)
    return name


def twins(dim, hidden, tasks=("a", "b", "c")):
    ours = MPNN(tasks, dim=dim, edge_hidden=hidden)
    theirs = PyGNetwork(tasks, dim, hidden)
    theirs.load_state_dict({pyg_name(k): v for k, v in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize(("dim", "hidden"), [(64, 128), (6, 5)])
def test_outputs_and_gradients_equal_pyg(dim, hidden):
    torch.manual_seed(1)
    ours, theirs = twins(dim, hidden)
    ours, theirs = ours.double(), theirs.double()
    batch = random_store(SIZES).__getitems__(range(len(SIZES)))
    object.__setattr__(batch, "atoms_AF", batch.atoms_AF.double())
    object.__setattr__(batch, "pairs_PE", batch.pairs_PE.double())
    got = ours(batch)
    expected = theirs(batch.atoms_AF, *edge_list(batch))
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


def test_parameter_counts_are_the_papers():
    names = [str(t) for t in range(11)]
    network = MPNN(names)
    assert sum(p.numel() for p in network.parameters()) == 617_675
    assert sum(p.numel() for p in network.shared_parameters()) == 616_960
    assert sum(p.numel() for p in network.task_parameters("3")) == 65


def test_every_parameter_is_shared_or_owned_by_one_task():
    network = MPNN(("a", "b"), dim=4, edge_hidden=3)
    parts = [*network.shared_parameters()]
    for task in ("a", "b"):
        parts += network.task_parameters(task)
    assert sorted(map(id, parts)) == sorted(map(id, network.parameters()))


def test_message_gradients_against_finite_differences():
    torch.manual_seed(0)
    groups = ((2, 1), (3, 2))
    edges = []
    for n, count in groups:
        for _ in range(count):
            r = torch.rand(n, n, 4, dtype=torch.float64)
            edges.append(((r + r.transpose(0, 1)) * (1 - torch.eye(n))[:, :, None]).reshape(-1, 4))
    h = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    fixed = torch.cat(edges)
    assert torch.autograd.gradcheck(lambda h, w: EdgeMessages.apply(h, fixed, w, groups), (h, w))

    def symmetric(half):  # the edges' own gradient, along symmetric directions
        full = []
        pair = 0
        for n, count in groups:
            block = half[pair : pair + n * n * count].view(count, n, n, 4)
            full.append((block + block.transpose(1, 2)).reshape(-1, 4))
            pair += n * n * count
        return EdgeMessages.apply(h, torch.cat(full), w, groups)

    assert torch.autograd.gradcheck(symmetric, (fixed.clone().requires_grad_(),))


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
