"""The message-passing network of the QM9 benchmark.

Legend of shape suffixes: B molecules, A atoms of the batch, P ordered atom pairs, N atoms of the
largest molecule, R = B * N + 1, F = ``dim``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.edge_messages import EdgeMessages, hidden_edges, plain_messages
from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.molecules import BOND_TYPES, NODE_FEATURES, MoleculeBatch
from mtl_bench.values import PositiveInt


class EdgeConditionedConv(nn.Module):
    """Edge-conditioned convolution, mean over neighbours, with root weight and bias.

    m_i = h_i R + b + mean_j h_j reshape(A relu(E e_ij + f) + c) (Gilmer et al., ICML 2017, section
    5; the layer that PyG calls NNConv). The edge hidden layer and the re-ordered matrix [A, c] are
    computed once per forward pass by ``edges`` and ``matrix`` and serve every round.

    Args:
        dim: width of the node features, in and out.
        hidden: width of the edge network's hidden layer.

    Parameters are those of PyG's layer, in the same layout and with the same initialisation:
    ``hidden`` Linear(5 -> hidden), ``output`` Linear(hidden -> dim * dim), ``root`` (no bias).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dim = dim
        self.hidden = nn.Linear(BOND_TYPES + 1, hidden)
        self.output = nn.Linear(hidden, dim * dim)
        self.root = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(dim))
        nn.init.uniform_(self.root.weight, -1 / math.sqrt(dim), 1 / math.sqrt(dim))

    def edge_matrix(self) -> Tensor:
        """Return [E, f] with a last row that carries c of the second layer, (hidden + 1, 6).

        Applied to a pair's features it gives [relu(E e_ij + f), 1] times the pair's factor s of
        the mean: s is in the features already, and relu(s x) = s relu(x) for s >= 0.
        """
        weight = torch.cat([self.hidden.weight, self.hidden.bias[:, None]], dim=1)
        carry = torch.zeros_like(weight[:1])
        carry[0, -1] = 1
        return torch.cat([weight, carry])

    def matrix(self) -> Tensor:
        """Return [A, c] as (hidden + 1, dim, dim): edge feature, node feature in, feature out."""
        weight = torch.cat([self.output.weight, self.output.bias[:, None]], dim=1)
        return weight.T.contiguous().view(-1, self.dim, self.dim)

    def forward(
        self,
        h_AF: Tensor,
        edge_matrix_KE: Tensor,
        matrix_KFF: Tensor,
        edges_PK: Tensor,
        batch: MoleculeBatch,
    ) -> Tensor:
        """Return the messages, (A, F)."""
        tensors = [h_AF, edge_matrix_KE, matrix_KFF, batch.pairs_PE, edges_PK]
        device = h_AF.device.type
        if torch.is_autocast_enabled(device):
            tensors = [tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]
        with torch.autocast(device, enabled=False):
            if torch.compiler.is_compiling():
                # a graph of blocks would be long, and that of torch's own backward pass is shorter
                h, v, w, e, _ = tensors
                messages_AF = plain_messages(h, v, w, e, batch.groups)
            else:
                messages_AF = EdgeMessages.apply(*tensors, batch.groups)
        return torch.addmm(self.bias, h_AF, self.root.weight.T) + messages_AF


class Set2Set(nn.Module):
    """Order-invariant read-out (Vinyals et al., ICLR 2016): an LSTM attends to the atoms.

    Args:
        dim: width of the atoms' features; the output is twice as wide.
        steps: rounds of attention.
    """

    def __init__(self, dim: int, steps: int) -> None:
        super().__init__()
        self.dim = dim
        self.steps = steps
        self.lstm = nn.LSTMCell(2 * dim, dim)

    def forward(self, h_AF: Tensor, batch: MoleculeBatch) -> Tensor:
        """Return one vector per molecule, (B, 2 F)."""
        shape = batch.size, batch.largest
        rows = batch.size * batch.largest
        h_RF = h_AF.new_zeros(rows + 1, self.dim).index_copy(0, batch.slots_A, h_AF)
        h_BNF = h_RF[:rows].view(*shape, self.dim)
        absent_R = torch.ones(rows + 1, dtype=torch.bool, device=h_AF.device)
        absent_BN = absent_R.index_fill_(0, batch.slots_A, False)[:rows].view(shape)
        query_BF = cell_BF = h_AF.new_zeros(batch.size, self.dim)
        output_B2F = h_AF.new_zeros(batch.size, 2 * self.dim)
        for _ in range(self.steps):
            query_BF, cell_BF = self.lstm(output_B2F, (query_BF, cell_BF))
            scores_BN = torch.bmm(h_BNF, query_BF[:, :, None])[:, :, 0]
            attention_BN = scores_BN.masked_fill(absent_BN, -torch.inf).softmax(dim=1)
            read_BF = torch.bmm(attention_BN[:, None], h_BNF)[:, 0]
            output_B2F = torch.cat([query_BF, read_BF], dim=1)
        return output_B2F


class MPNN(HeadedNetwork):
    """Message passing with gated updates and a set read-out; one linear head per task.

    Linear + ReLU, three tied rounds of edge-conditioned convolution + ReLU + GRU, Set2Set with
    three steps, Linear + ReLU, and a Linear(dim -> 1) for every task: Gilmer et al. (ICML 2017) in
    the form that Nash-MTL (ICML 2022) trains on QM9. With dim 64, hidden 128 and 11 tasks it has
    617,675 parameters, 616,960 of them shared.

    Args:
        tasks: names of the tasks.
        dim: width of the node features.
        edge_hidden: width of the edge network's hidden layer.
        rounds: rounds of message passing.
        set2set_steps: rounds of attention in the read-out.
    """

    has_representation: ClassVar[bool] = True
    batched_backward: ClassVar[bool] = True
    compiled_parts: ClassVar[tuple[str, ...]] = ("representation",)

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        dim: PositiveInt = 64,
        edge_hidden: PositiveInt = 128,
        rounds: PositiveInt = 3,
        set2set_steps: PositiveInt = 3,
    ) -> None:
        super().__init__()
        self.rounds = rounds
        self.embedding = nn.Linear(NODE_FEATURES, dim)
        self.convolution = EdgeConditionedConv(dim, edge_hidden)
        self.gru = nn.GRUCell(dim, dim)
        self.set2set = Set2Set(dim, set2set_steps)
        self.readout = nn.Linear(2 * dim, dim)
        self.heads = nn.ModuleDict({task: nn.Linear(dim, 1) for task in tasks})

    def representation(self, batch: MoleculeBatch) -> Tensor:
        """Return what the heads share, (B, F)."""
        h_AF = functional.relu(self.embedding(batch.atoms_AF))
        edge_matrix_KE = self.convolution.edge_matrix()
        edges_PK = hidden_edges(batch.pairs_PE, edge_matrix_KE)
        matrix_KFF = self.convolution.matrix()
        for _ in range(self.rounds):
            messages_AF = self.convolution(h_AF, edge_matrix_KE, matrix_KFF, edges_PK, batch)
            h_AF = self.gru(functional.relu(messages_AF), h_AF)
        return functional.relu(self.readout(self.set2set(h_AF, batch)))

    def predict(self, representation: Tensor, batch: MoleculeBatch) -> dict[str, Tensor]:
        """Return task -> standardised predictions, (B,)."""
        return {task: head(representation)[:, 0] for task, head in self.heads.items()}
