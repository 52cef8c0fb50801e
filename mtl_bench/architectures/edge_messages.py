"""Edge-conditioned messages on complete graphs without per-edge matrices.

Legend of shape suffixes: T tasks whose gradients are propagated together, A atoms, P ordered pairs,
F node features, E edge features, K hidden edge features, O outputs, S = K * F.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from mtl_bench.architectures.products import OneDNN, library_for

Groups = tuple[tuple[int, int], ...]

Run = tuple[slice, slice, tuple[int, int]]
"""Atoms and pairs of molecules of n atoms, and (n, their number)."""


class EdgeMessages(Function):
    """m_i = sum_j h_j . W(r_ij), with r_ij = relu(V e_ij) and W(r) = sum_k r_k W_k.

    The usual form builds the (F, O) matrix of every edge. The sum re-associates to
    sum_k (sum_j r_ijk h_j) . W_k: one outer-product sum per atom, then one product for all atoms,
    which is F * O / (F + n) times less work for molecules of n atoms and needs no memory per edge
    beyond r. Molecules of one size are one batched product, so nothing is padded.

    On a CPU the backward pass works in blocks of molecules whose intermediates stay in the
    processor's cache; a GPU would wait for their launches (``products.Device``). It takes the
    gradients of T tasks at once under ``torch.func.vmap``: the weight gradients of all of them are
    then one matrix product.

    Args (of ``apply``):
        features_AF: node features h.
        hidden_KE: V.
        weight_KFO: W.
        pairs_PE: edge features e, row-major n x n per molecule. They must be symmetric,
            e_ij = e_ji (distances and bond types are), so that rows and columns may change places,
            and hold the factors of the aggregation (zero on the diagonal).
        edges_PK: r, computed once for all rounds by ``hidden_edges``.
        groups: runs of equal molecule sizes, see ``MoleculeBatch``.

    Returns the messages, (A, O).
    """

    @staticmethod
    def forward(
        features_AF: Tensor,
        hidden_KE: Tensor,
        weight_KFO: Tensor,
        pairs_PE: Tensor,
        edges_PK: Tensor,
        groups: Groups,
    ) -> Tensor:
        """Compute the messages."""
        sums_AS = outer_sums(features_AF, edges_PK, groups)
        return library_for(weight_KFO).mm(sums_AS, weight_KFO.flatten(0, 1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        """Keep the inputs; the outer-product sums are cheaper to compute again than to keep."""
        *tensors, groups = inputs
        ctx.save_for_backward(*tensors)
        ctx.groups = groups

    @staticmethod
    def backward(ctx: Any, grad_AO: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Differentiate with respect to h, V and W."""
        gradients = EdgeMessagesBackward.apply(grad_AO, *ctx.saved_tensors, ctx.groups)
        return (*gradients, None, None, None)


class EdgeMessagesBackward(Function):
    """The backward pass of ``EdgeMessages`` as a function of its own, for vmap's sake."""

    @staticmethod
    def forward(
        grad_AO: Tensor,
        features_AF: Tensor,
        hidden_KE: Tensor,
        weight_KFO: Tensor,
        pairs_PE: Tensor,
        edges_PK: Tensor,
        groups: Groups,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of h, V and W."""
        gradients = propagate(grad_AO[None], features_AF, weight_KFO, pairs_PE, edges_PK, groups)
        return gradients[0][0], gradients[1][0], gradients[2][0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        """Keep the inputs, for second derivatives."""
        *tensors, groups = inputs
        ctx.save_for_backward(*tensors)
        ctx.groups = groups

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Differentiate the gradients of h, V and W, by torch's own backward passes.

        Only methods that ask for second derivatives come here; it is neither fast nor thrifty.
        """
        grad_AO, features_AF, hidden_KE, weight_KFO, pairs_PE, _ = ctx.saved_tensors
        with torch.enable_grad():
            given = [
                t.detach().requires_grad_() for t in (grad_AO, features_AF, hidden_KE, weight_KFO)
            ]
            grad, h, v, w = given
            messages_AO = plain_messages(h, v, w, pairs_PE, ctx.groups)
            first = torch.autograd.grad(messages_AO, (h, v, w), grad, create_graph=True)
            second = torch.autograd.grad(first, given, directions, allow_unused=True)
        return (*second, None, None, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """Propagate the gradients of several tasks at once."""
        grad_AO, features_AF, _, *others = inputs
        grad_TAO = grad_AO.movedim(in_dims[0], 0)
        return propagate(grad_TAO, features_AF, *others), (0, 0, 0)


def plain_messages(
    features_AF: Tensor, hidden_KE: Tensor, weight_KFO: Tensor, pairs_PE: Tensor, groups: Groups
) -> Tensor:
    """Return the messages, (A, O), from what torch differentiates any number of times."""
    edges_PK = (pairs_PE @ hidden_KE.T).relu()
    sums = []
    for atoms, pairs, shape in blocks(groups, limit=None):
        h, r = views(features_AF[atoms], edges_PK[pairs], shape)
        sums.append((r.transpose(1, 2) @ h).reshape(-1, weight_KFO.shape[0] * h.shape[2]))
    return torch.cat(sums) @ weight_KFO.flatten(0, 1)


def hidden_edges(pairs_PE: Tensor, hidden_KE: Tensor) -> Tensor:
    """Return r = relu(V e), (P, K), without a graph: ``EdgeMessages`` differentiates through it."""
    with torch.no_grad():
        return torch.mm(pairs_PE, hidden_KE.T).relu_()


def outer_sums(features_AF: Tensor, edges_PK: Tensor, groups: Groups) -> Tensor:
    """Return sum_j r_ijk h_jf of every atom i, (A, K * F)."""
    sums_AS = features_AF.new_empty(len(features_AF), edges_PK.shape[1] * features_AF.shape[1])
    for atoms, pairs, shape in blocks(groups, limit=None):
        h, r = views(features_AF[atoms], edges_PK[pairs], shape)
        torch.bmm(r.transpose(1, 2), h, out=sums_AS[atoms].view(len(h), -1, h.shape[2]))
    return sums_AS


def propagate(
    grad_TAO: Tensor,
    features_AF: Tensor,
    weight_KFO: Tensor,
    pairs_PE: Tensor,
    edges_PK: Tensor,
    groups: Groups,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of h (T, A, F), V (T, K, E) and W (T, K, F, O).

    A block is molecules of one size, with all tasks where that fits, else with one after the other.
    """
    tasks, atoms_total, outputs = grad_TAO.shape
    width, features, _ = weight_KFO.shape
    library = library_for(weight_KFO)
    grad_weight = weight_gradient(grad_TAO, features_AF, weight_KFO, edges_PK, groups)
    grad_features = grad_TAO.new_empty(tasks, atoms_total, features)
    exact = torch.promote_types(grad_TAO.dtype, torch.float32)  # sums of many terms
    grad_hidden = grad_TAO.new_zeros(tasks, pairs_PE.shape[1], width, dtype=exact)
    weight_OS = weight_KFO.flatten(0, 1).T.contiguous()
    hidden_together = tasks > 1 and isinstance(library, OneDNN)
    limit = max(1, library.block_floats // (width * features))
    runs = list(blocks(groups, limit))
    at_once = [tasks if tasks * n * count <= limit else 1 for *_, (n, count) in runs]
    rows = [most * n * count for most, (*_, (n, count)) in zip(at_once, runs, strict=True)]
    edges = [n * row for row, (*_, (n, _)) in zip(rows, runs, strict=True)]
    # written over and over, since memory that is new to the cache costs more than the products
    ds_S = grad_TAO.new_empty(max(rows) * width * features)
    dr_S = grad_TAO.new_empty(max(edges) * width)
    for most, (atoms, pairs, (n, count)) in zip(at_once, runs, strict=True):
        h, r = (repeat(x, most) for x in views(features_AF[atoms], edges_PK[pairs], (n, count)))
        r_TPK = edges_PK[pairs].expand(most, -1, -1)
        e_TEP = pairs_PE[pairs].T.expand(most, -1, -1)
        room_AS = ds_S[: most * n * count * width * features].view(-1, width * features)
        dr_TPK = dr_S[: most * n * n * count * width].view(r_TPK.shape)
        dh = grad_TAO.new_empty(most * count, n, features)
        for first in range(0, tasks, most):
            some = slice(first, first + most)
            grad_AO = grad_TAO[some, atoms].reshape(-1, outputs)
            ds = library.mm(grad_AO, weight_OS, out=room_AS).view(-1, n * width, features)
            library.bmm(r, ds, out=dh)
            grad_features[some, atoms] = dh.view(most, -1, features)
            if hidden_together:
                continue
            library.bmm(h, ds.transpose(1, 2), out=dr_TPK.view(-1, n, n * width))
            differentiate_relu(dr_TPK, r_TPK)
            if exact == dr_TPK.dtype:
                grad_hidden[some].baddbmm_(e_TEP, dr_TPK)
            else:
                grad_hidden[some] += torch.bmm(e_TEP, dr_TPK)
    if hidden_together:
        add_hidden(grad_hidden, grad_TAO, features_AF, weight_KFO, pairs_PE, edges_PK, runs)
    return grad_features, grad_hidden.transpose(1, 2).to(grad_TAO.dtype), grad_weight


def differentiate_relu(gradient: Tensor, output: Tensor) -> None:
    """Set a gradient to zero where the ReLU put out zero."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)


def repeat(blocks: Tensor, times: int) -> Tensor:
    """Return a batch of matrices, so many times over."""
    return blocks.expand(times, *blocks.shape).flatten(0, 1)


def weight_gradient(
    grad_TAO: Tensor, features_AF: Tensor, weight_KFO: Tensor, edges_PK: Tensor, groups: Groups
) -> Tensor:
    """Return the gradients of W, (T, K, F, O), as one product for all tasks."""
    tasks, atoms_total, outputs = grad_TAO.shape
    width, features, _ = weight_KFO.shape
    flat_OA = grad_TAO.transpose(1, 2).reshape(tasks * outputs, atoms_total)
    sums_AS = outer_sums(features_AF, edges_PK, groups)
    grad_TOS = library_for(weight_KFO).mm(flat_OA, sums_AS)
    return grad_TOS.view(tasks, outputs, width, features).permute(0, 2, 3, 1)


def add_hidden(
    grad_hidden_TEK: Tensor,
    grad_TAO: Tensor,
    features_AF: Tensor,
    weight_KFO: Tensor,
    pairs_PE: Tensor,
    edges_PK: Tensor,
    runs: Sequence[Run],
) -> None:
    """Add the gradient of V, of all tasks at once.

    The gradient of r_ijk is (h_j . W_k) . g_i, and h_j . W_k is the same for all tasks: one product
    for each molecule in place of one for each molecule and task.
    """
    tasks, _, outputs = grad_TAO.shape
    weight_FS = weight_KFO.transpose(0, 1).reshape(features_AF.shape[1], -1)
    mm = library_for(weight_KFO).mm
    for atoms, pairs, (n, count) in runs:
        shared_AS = mm(features_AF[atoms], weight_FS)
        e, r, grad = pairs_PE[pairs], edges_PK[pairs], grad_TAO[:, atoms]
        for m in range(count):
            own, square = slice(m * n, (m + 1) * n), slice(m * n * n, (m + 1) * n * n)
            grad_GO = grad[:, own].reshape(tasks * n, outputs)
            dr_TPK = mm(grad_GO, shared_AS[own].view(-1, outputs).T).view(tasks, n * n, -1)
            differentiate_relu(dr_TPK, r[square].expand_as(dr_TPK))
            grad_hidden_TEK.baddbmm_(e[square].T.expand(tasks, -1, -1), dr_TPK)


def blocks(groups: Groups, limit: int | None) -> Iterator[Run]:
    """Yield atoms, pairs and (n, count) of runs of molecules of n atoms, about ``limit`` atoms."""
    atom = pair = 0
    for n, molecules in groups:
        most = molecules if limit is None else max(1, limit // n)
        for first in range(0, molecules, most):
            count = min(most, molecules - first)
            yield slice(atom, atom + n * count), slice(pair, pair + n * n * count), (n, count)
            atom, pair = atom + n * count, pair + n * n * count


def views(h_AF: Tensor, r_PK: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a run's features as (count, n, F) and edges as (count, n, n * K)."""
    n, count = shape
    return h_AF.view(count, n, -1), r_PK.view(count, n, -1)
