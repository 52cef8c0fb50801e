"""Resampling by matrix products against torch's own operations."""

import pytest
import torch
from torch.nn import functional

from mtl_bench.architectures import resampling
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.resampling import enlarge, pool
from mtl_bench.datasets.images import ImageBatch

OPERATIONS = {
    "enlarge": (
        enlarge,
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    ),
    **{
        f"pool to {cells}": (
            lambda x, cells=cells: pool(x, cells),
            lambda x, cells=cells: functional.adaptive_avg_pool2d(x, cells),
        )
        for cells in (1, 2, 3, 6)
    },
}


@pytest.fixture
def by_products(monkeypatch):
    """What a GPU does where deterministic algorithms are asked for."""
    monkeypatch.setattr(resampling, "_torch_repeats", lambda _: False)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (6, 8), (7, 11), (32, 64)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_products_equal_torchs_operations(name, size, layout, by_products):
    ours, torchs = OPERATIONS[name]
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    got, expected = ours(x), torchs(x)
    torch.testing.assert_close(got, expected)
    weight = torch.randn_like(expected)
    (mine,) = torch.autograd.grad(got, x, weight)
    (theirs,) = torch.autograd.grad(expected, x, weight)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("mode", [False, True])
def test_a_cpu_keeps_torchs_own_bits(name, mode):
    ours, torchs = OPERATIONS[name]
    x = torch.rand(2, 3, 7, 11).contiguous(memory_format=torch.channels_last)
    torch.use_deterministic_algorithms(mode)
    try:
        assert torch.equal(ours(x), torchs(x))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", OPERATIONS)
def test_another_device_multiplies_where_it_has_to_repeat_itself(name, monkeypatch):
    """The device meta stands for a GPU: it computes nothing, but goes the same way."""
    products = []

    def resample(*tensors, before=resampling.resample):
        products.append(tensors)
        return before(*tensors)

    monkeypatch.setattr(resampling, "resample", resample)
    ours, torchs = OPERATIONS[name]
    x = torch.empty(2, 3, 6, 8, device="meta")
    assert ours(x).shape == torchs(x).shape
    assert not products
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert ours(x).shape == torchs(x).shape
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(products) == 1


@pytest.mark.parametrize(
    "network",
    [
        lambda: MTAN(("depth", "normal"), width=1 / 8),
        lambda: PSPNet(("segmentation", "disparity"), width=1 / 16, pretrained=None),
    ],
    ids=["mtan", "pspnet"],
)
def test_networks_predict_the_same_either_way(network, monkeypatch):
    torch.manual_seed(0)
    network = network().double().eval()
    batch = ImageBatch(torch.rand(2, 3, 64, 96, dtype=torch.float64), {})
    expected = network(batch)
    monkeypatch.setattr(resampling, "_torch_repeats", lambda _: False)
    for task, prediction in network(batch).items():
        assert not torch.equal(prediction, expected[task])  # nothing else resamples
        torch.testing.assert_close(prediction, expected[task])
