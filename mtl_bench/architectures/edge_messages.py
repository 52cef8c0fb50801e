"""Edge-conditioned messages on complete graphs without per-edge matrices.

Legend of shape suffixes: A atoms, P ordered pairs, F node features, K edge features, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Groups = tuple[tuple[int, int], ...]


class EdgeMessages(torch.autograd.Function):
    """m_i = sum_j h_j . W(r_ij), with W(r) = sum_k r_k W_k linear in the edge features.

    The usual form builds the (F, O) matrix of every edge. The sum re-associates to
    sum_k (sum_j r_ijk h_j) . W_k: one outer-product sum per atom, then one product for all atoms,
    which is F * O / (F + n) times less work for molecules of n atoms and needs no memory per edge
    beyond r. Molecules of one size are one batched product, so nothing is padded.

    Args (of ``apply``):
        features_AF: node features h.
        edges_PK: edge features r, row-major n x n per molecule. They must be symmetric,
            r_ij = r_ji (distances and bond types are), so that rows and columns may change places,
            and hold the factors of the aggregation (zero on the diagonal).
        weight_KFO: W.
        groups: runs of equal molecule sizes, see ``MoleculeBatch``.

    Returns the messages, (A, O).
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own context object
        features_AF: Tensor,
        edges_PK: Tensor,
        weight_KFO: Tensor,
        groups: Groups,
    ) -> Tensor:
        """Compute the messages and keep the outer-product sums for the backward passes."""
        width, features, outputs = weight_KFO.shape
        sums = features_AF.new_empty(len(features_AF), width * features)
        for h, r, s in _molecules(features_AF, edges_PK, sums, groups):
            torch.bmm(r.transpose(1, 2), h, out=s)
        ctx.save_for_backward(features_AF, edges_PK, weight_KFO, sums)
        ctx.groups = groups
        return sums @ weight_KFO.view(width * features, outputs)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_AO: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """Differentiate with respect to node features, edge features and weight."""
        features_AF, edges_PK, weight_KFO, sums = ctx.saved_tensors
        width, features, outputs = weight_KFO.shape
        grad_sums = grad_AO @ weight_KFO.view(width * features, outputs).T
        grad_features = torch.empty_like(features_AF) if ctx.needs_input_grad[0] else None
        grad_edges = torch.empty_like(edges_PK) if ctx.needs_input_grad[1] else None
        if grad_features is not None:
            for dh, r, ds in _molecules(grad_features, edges_PK, grad_sums, ctx.groups):
                torch.bmm(r, ds, out=dh)
        if grad_edges is not None:
            for h, dr, ds in _molecules(features_AF, grad_edges, grad_sums, ctx.groups):
                torch.bmm(h, ds.transpose(1, 2), out=dr)
        grad_weight = None
        if ctx.needs_input_grad[2]:
            # outputs first: this order of the operands runs a fifth faster
            grad_weight = (grad_AO.T @ sums).view(outputs, width, features).permute(1, 2, 0)
        return grad_features, grad_edges, grad_weight, None


def _molecules(
    features_AF: Tensor, edges_PK: Tensor, sums_AS: Tensor, groups: Groups
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return, per run of equal sizes n, views (b, n, F), (b, n, n K) and (b, n K, F)."""
    features = features_AF.shape[1]
    width = edges_PK.shape[1]
    views = []
    atom = pair = 0
    for n, count in groups:
        atoms, pairs = n * count, n * n * count
        views.append(
            (
                features_AF[atom : atom + atoms].view(count, n, features),
                edges_PK[pair : pair + pairs].view(count, n, n * width),
                sums_AS[atom : atom + atoms].view(count, n * width, features),
            )
        )
        atom, pair = atom + atoms, pair + pairs
    return views
