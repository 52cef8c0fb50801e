"""SegNet and MTAN against the same networks written down step by step."""

import pytest
import torch
from torch.nn import functional

from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.segnet import SegNet, SegNetTrunk, unpool
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import DataError
from tests.architectures.plain_networks import PlainMTAN, activate, mtan_name

TASKS = ("segmentation", "depth", "normal")
CHANNELS = {"segmentation": 13, "depth": 1, "normal": 3}
WIDTH = 1 / 4
"""The levels have 16, 32, 64, 128 and 128 channels: a mixed-up level would not fit."""


def twins(kind):
    """Return our network and PlainMTAN with the same parameters, in float64."""
    torch.manual_seed(2)
    ours = kind(TASKS, width=WIDTH).double()
    with torch.no_grad():
        for module in ours.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
    plain = PlainMTAN((16, 32, 64, 128, 128), CHANNELS).double()
    state = plain.state_dict()
    state.update({mtan_name(name): value for name, value in ours.state_dict().items()})
    plain.load_state_dict(state)
    images = torch.rand(2, 3, 64, 32, dtype=torch.float64)
    return ours, plain, images


def plain_segnet(plain, images):
    features = plain.trunk(images)[3][0]
    return {task: activate(task, plain.pred[task](features)) for task in TASKS}


@pytest.mark.parametrize(
    ("kind", "forward"), [(MTAN, PlainMTAN.forward), (SegNet, plain_segnet)], ids=["mtan", "segnet"]
)
def test_predictions_gradients_and_statistics_equal_the_plain_network(kind, forward):
    ours, plain, images = twins(kind)
    got, expected = ours(ImageBatch(images, {})), forward(plain, images)
    parameters = dict(ours.named_parameters())
    peers = dict(plain.named_parameters())
    for task in TASKS:
        torch.testing.assert_close(got[task], expected[task])
        weight = torch.randn_like(got[task])
        mine = torch.autograd.grad(
            (got[task] * weight).sum(), parameters.values(), retain_graph=True, allow_unused=True
        )
        theirs = torch.autograd.grad(
            (expected[task] * weight).sum(),
            [peers[mtan_name(name)] for name in parameters],
            retain_graph=True,
            allow_unused=True,
        )
        for name, a, b in zip(parameters, mine, theirs, strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6, msg=name)
    buffers = dict(plain.named_buffers())
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, buffers[mtan_name(name)], msg=name)


def test_the_tables_of_both_networks_have_the_same_parameters():
    with torch.device("meta"):
        ours = MTAN(TASKS)
        plain = PlainMTAN((64, 128, 256, 512, 512), CHANNELS)
    shapes = {mtan_name(name): value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in plain.state_dict().items()}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_against_finite_differences(layout):
    torch.manual_seed(0)
    values = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    _, places = functional.max_pool2d(values.to(memory_format=layout), 2, return_indices=True)
    pooled = torch.randn(2, 3, 2, 3, dtype=torch.float64).to(memory_format=layout)
    pooled.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: unpool(x, places), pooled)


def test_equal_values_of_a_window_are_unpooled_to_one_place():
    torch.manual_seed(0)
    trunk = SegNetTrunk(1 / 8)
    with torch.no_grad():
        for module in trunk.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.zero_()
                module.bias.fill_(1)  # every feature map is constant
    _, decoder = trunk(torch.rand(1, 3, 32, 32))
    for level in decoder:
        filled = (level.first != 0).float()
        assert (functional.avg_pool2d(filled, 2) == 0.25).all()


def test_convolutions_begin_with_glorots_normal_weights():
    torch.manual_seed(0)
    network = MTAN(TASKS, width=0.5)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            assert (module.bias == 0).all()
            if module.weight.numel() > 5000:
                outputs, inputs, *kernel = module.weight.shape
                area = kernel[0] * kernel[1]
                expected = (2 / (area * (inputs + outputs))) ** 0.5
                assert abs(module.weight.std() / expected - 1) < 0.1, name
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize("kind", [MTAN, SegNet])
def test_images_that_cannot_be_halved_five_times_are_refused(kind):
    network = kind(TASKS, width=1 / 16)
    with pytest.raises(DataError, match=r"48 x 64 pixels.*multiples of 32"):
        network(ImageBatch(torch.rand(1, 3, 48, 64), {}))


def test_a_head_that_answers_zero_gives_no_nan():
    torch.manual_seed(0)
    network = MTAN(("normal",), width=1 / 16)
    torch.nn.init.zeros_(network.heads["normal"][1].weight)
    (normals,) = network(ImageBatch(torch.rand(2, 3, 32, 32), {})).values()
    assert (normals == 0).all()
    normals.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
