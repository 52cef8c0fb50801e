"""Matrix products by oneDNN and by torch's BLAS."""

from dataclasses import replace

import pytest
import torch

from mtl_bench.architectures import products
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.products import Blas, Device, OneDNN, library_for
from mtl_bench.gradients import TaskGradients
from tests.molecules import random_store

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch without oneDNN"
)


@pytest.fixture(params=[False, pytest.param(True, marks=needs_onednn)], ids=["blas", "onednn"])
def amd(request, monkeypatch):
    """Whether the processor is said to be AMD's, for matrices of any size."""
    monkeypatch.setattr(products, "is_amd_avx512", lambda: request.param)
    monkeypatch.setattr(products, "ONEDNN_FLOATS", 0)
    return request.param


def test_products_of_views_have_the_accuracy_of_float32(amd):
    torch.manual_seed(0)
    left, right = torch.randn(7, 90), torch.randn(90, 5)
    library = library_for(left)
    assert type(library) is (OneDNN if amd else Blas)
    want = (left.double() @ right.double()).float()
    for a in (left, left.T.contiguous().T):
        for b in (right, right.T.contiguous().T):
            torch.testing.assert_close(library.mm(a, b), want, rtol=1e-5, atol=1e-5)


def test_batches_are_written_where_they_are_asked_for(amd):
    torch.manual_seed(0)
    left, right = torch.randn(3, 4, 30), torch.randn(3, 6, 30)
    whole = torch.zeros(2, 3, 4, 6)
    library_for(left).bmm(left, right.transpose(1, 2), out=whole[1])
    want = torch.einsum("bmk,bnk->bmn", left.double(), right.double()).float()
    torch.testing.assert_close(whole[1], want, rtol=1e-5, atol=1e-5)
    assert not whole[0].any()


def test_what_onednn_does_not_multiply_as_it_is_goes_to_the_blas(amd, monkeypatch):
    x = torch.randn(3, 3)
    for other in (x.double(), x.bfloat16()):
        assert type(library_for(other)) is Blas
    assert type(library_for(x.to("meta"))) is Device
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert type(library_for(x)) is Blas


@needs_onednn
def test_matrices_of_narrow_networks_go_to_the_blas(monkeypatch):
    monkeypatch.setattr(products, "is_amd_avx512", lambda: True)
    assert type(library_for(torch.empty(129, 64, 64))) is OneDNN
    assert type(library_for(torch.empty(17, 16, 16))) is Blas


def test_the_vendor_is_read_from_linux(tmp_path, monkeypatch):
    for vendor, amd in (("AuthenticAMD", True), ("GenuineIntel", False)):
        (tmp_path / vendor).write_text(f"vendor_id\t: {vendor}\nflags\t: avx2 avx512f\n")
        monkeypatch.setattr(products, "PROCESSORS", tmp_path / vendor)
        assert products.is_amd_avx512.__wrapped__() == amd


@pytest.mark.usefixtures("amd")
@pytest.mark.parametrize("backend", ["loop", "batched"])
@pytest.mark.parametrize("floats", [1, 1500, 10**6])
def test_task_gradients_of_the_network_have_the_accuracy_of_float32(backend, floats, monkeypatch):
    monkeypatch.setattr(Blas, "block_floats", floats)
    monkeypatch.setattr(OneDNN, "block_floats", floats)
    torch.manual_seed(0)
    tasks = ("a", "b", "c")
    network = MPNN(tasks, dim=8, edge_hidden=6)
    batch = random_store((3, 7, 7, 12), tasks).__getitems__(range(4))

    def jacobian(network, batch):
        predictions = network(batch)
        losses = [(predictions[t] - batch.targets[t]).square().mean() for t in tasks]
        own = [network.task_parameters(task) for task in tasks]
        return TaskGradients(losses, network.shared_parameters(), own, backend=backend).jacobian()

    got = jacobian(network, batch)
    exact = replace(batch, atoms_AF=batch.atoms_AF.double(), pairs_PE=batch.pairs_PE.double())
    want = jacobian(network.double(), exact).float()
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
