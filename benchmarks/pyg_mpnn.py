"""The QM9 network from PyG's layers: the peer of the speed measurement and the tests' oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.datasets.molecules import BOND_TYPES, NODE_FEATURES

if TYPE_CHECKING:
    from torch_geometric.data import Batch

RENAMED = {
    "convolution.hidden": "convolution.nn.0",
    "convolution.output": "convolution.nn.2",
    "convolution.root": "convolution.lin",
    "gru.weight_ih": "gru.weight_ih_l0",
    "gru.weight_hh": "gru.weight_hh_l0",
    "gru.bias_ih": "gru.bias_ih_l0",
    "gru.bias_hh": "gru.bias_hh_l0",
    "set2set.lstm.weight_ih": "set2set.lstm.weight_ih_l0",
    "set2set.lstm.weight_hh": "set2set.lstm.weight_hh_l0",
    "set2set.lstm.bias_ih": "set2set.lstm.bias_ih_l0",
    "set2set.lstm.bias_hh": "set2set.lstm.bias_hh_l0",
}
"""Beginnings of our parameter names and what PyG's layers call them."""


def pyg_name(name: str) -> str:
    """Return the name of one of our parameters in ``PyGMPNN``."""
    for ours, theirs in RENAMED.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


class PyGMPNN(Architecture):
    """Linear, three tied rounds of NNConv and GRU, Set2Set, Linear and heads, as Nash-MTL has it.

    Args:
        peer: the network whose sizes and parameters it takes.

    ``forward`` takes the result of ``to_pyg``, with edges between all pairs, so that the conversion
    is not timed.
    """

    def __init__(self, peer: MPNN) -> None:
        super().__init__()
        from torch_geometric.nn import NNConv, Set2Set

        dim, hidden = peer.convolution.dim, peer.convolution.hidden.out_features
        self.rounds = peer.rounds
        self.embedding = nn.Linear(NODE_FEATURES, dim)
        edge_network = nn.Sequential(
            nn.Linear(BOND_TYPES + 1, hidden), nn.ReLU(), nn.Linear(hidden, dim * dim)
        )
        self.convolution = NNConv(dim, dim, edge_network, aggr="mean")
        self.gru = nn.GRU(dim, dim)
        self.set2set = Set2Set(dim, processing_steps=peer.set2set.steps)
        self.readout = nn.Linear(2 * dim, dim)
        self.heads = nn.ModuleDict({task: nn.Linear(dim, 1) for task in peer.heads})
        self.load_state_dict({pyg_name(k): v for k, v in peer.state_dict().items()})

    def forward(self, graph: Batch) -> dict[str, Tensor]:
        """Return task -> standardised predictions, (B,)."""
        h = functional.relu(self.embedding(graph.x))
        state = h[None]
        for _ in range(self.rounds):
            message = functional.relu(self.convolution(h, graph.edge_index, graph.edge_attr))
            output, state = self.gru(message[None], state)
            h = output[0]
        z = functional.relu(self.readout(self.set2set(h, graph.batch)))
        return {task: head(z)[:, 0] for task, head in self.heads.items()}

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return every parameter outside the heads."""
        return [p for name, p in self.named_parameters() if not name.startswith("heads.")]

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters of one task's head."""
        return list(self.heads[task].parameters())
