"""What holds for every network for images, and the pieces they share."""

import pytest
import torch

from mtl_bench.architectures.cross_stitch import CrossStitch
from mtl_bench.architectures.dense import (
    dense_outputs,
    scaled_channels,
    unit_vectors,
)
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.config.build import build
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import Cut, TaskGradients

ROOMS = ("segmentation", "depth", "normal")
STREETS = ("segmentation", "instance", "disparity")
CHANNELS = {"segmentation": 5, "depth": 1, "normal": 3, "instance": 2, "disparity": 1}
WIDTH = 1 / 16


def small(kind, tasks):
    torch.manual_seed(0)
    only = {"pretrained": None} if kind is PSPNet else {}
    return kind(tasks, width=WIDTH, classes=5, **only)


def some_batch(size=2, height=32, width=64):
    images = torch.rand(size, 3, height, width, generator=torch.Generator().manual_seed(3))
    return ImageBatch(images, {})


def losses_of(out):
    """One scalar a task, with a gradient everywhere: unit vectors have a constant square."""
    torch.manual_seed(5)
    return [(torch.randn_like(prediction) * prediction).mean() for prediction in out.values()]


def scalars(parameters):
    return sum(p.numel() for p in parameters)


NETWORKS = [(SegNet, ROOMS), (MTAN, ROOMS), (PSPNet, STREETS)]
each_network = pytest.mark.parametrize(("kind", "tasks"), NETWORKS)


@pytest.mark.parametrize(
    ("kind", "tasks", "classes", "total", "shared"),
    [
        (SegNet, ROOMS, 13, 25_055_185, 24_943_296),
        (SegNet, ("segmentation",), 13, 24_981_069, 24_943_296),
        (SegNet, ("depth",), 13, 24_943_296 + 36_993, 24_943_296),
        (SegNet, ("normal",), 13, 24_943_296 + 37_123, 24_943_296),
        (MTAN, ROOMS, 13, 44_229_073, 44_117_184),
        (PSPNet, STREETS, 19, 92_740_694, 23_508_032),
        (PSPNet, ("segmentation",), 7, 23_508_032 + 23_077_383, 23_508_032),
        (PSPNet, ("segmentation",), 19, 23_508_032 + 23_083_539, 23_508_032),
        (PSPNet, ("instance",), 19, 23_508_032 + 23_074_818, 23_508_032),
        (PSPNet, ("disparity",), 19, 23_508_032 + 23_074_305, 23_508_032),
    ],
)
def test_parameter_counts_are_the_papers(kind, tasks, classes, total, shared):
    only = {"pretrained": None} if kind is PSPNet else {}
    with torch.device("meta"):
        network = kind(tasks, classes=classes, **only)
    assert scalars(network.parameters()) == total
    assert scalars(network.shared_parameters()) == shared
    assert scalars(network.own_parameters(tasks)) == total - shared


def test_the_parts_of_mtan_have_the_papers_counts():
    with torch.device("meta"):
        network = MTAN(ROOMS)
    assert len(network.shared_parameters()) == 384
    assert scalars(network.trunk.encoder_first.parameters()) == 3_913_728
    assert scalars(network.trunk.encoder_second.parameters()) == 10_809_408
    assert scalars(network.trunk.decoder_first.parameters()) == 3_947_520
    assert scalars(network.trunk.decoder_second.parameters()) == 6_272_640
    assert scalars(network.encoder_mix.parameters()) == 6_272_640
    assert scalars(network.decoder_mix.parameters()) == 3_947_520
    for task in ROOMS:
        assert scalars(network.attention[task].encoder.parameters()) == 1_835_648
        assert scalars(network.attention[task].decoder.parameters()) == 1_148_928


def test_the_last_stage_of_pspnet_has_the_papers_count():
    with torch.device("meta"):
        network = PSPNet(STREETS, pretrained=None)
    assert scalars(network.encoder.layer4.parameters()) == 14_964_736


@each_network
def test_every_parameter_is_shared_or_owned_by_one_task(kind, tasks):
    network = small(kind, tasks)
    parts = [*network.shared_parameters(), *network.own_parameters(tasks)]
    assert sorted(map(id, parts)) == sorted(map(id, network.parameters()))


@each_network
def test_outputs_have_the_tasks_shapes_and_ranges(kind, tasks):
    network = small(kind, tasks)
    out = network(some_batch())
    assert tuple(out) == tasks
    size = (4, 8) if kind is PSPNet else (32, 64)
    for task in tasks:
        assert out[task].shape == (2, CHANNELS[task], *size)
        assert out[task].dtype == torch.float32
    torch.testing.assert_close(out["segmentation"].exp().sum(dim=1), torch.ones(2, *size))
    if "normal" in tasks:
        torch.testing.assert_close(out["normal"].norm(dim=1), torch.ones(2, *size))
    for task in {"depth", "instance", "disparity"} & set(tasks):
        assert (out[task] < 0).any()


@each_network
def test_a_task_s_loss_reaches_its_own_head_and_no_other(kind, tasks):
    network = small(kind, tasks)
    out = network(some_batch())
    names = [name for name, _ in network.named_parameters()]
    for task in tasks:
        gradients = torch.autograd.grad(
            out[task].square().sum(), network.parameters(), retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            part, _, rest = name.partition(".")
            other = part in {"heads", "attention"} and rest.split(".")[0] != task
            assert (gradient is None) == other, (task, name)


@each_network
def test_some_of_the_tasks_in_any_order_give_the_same_predictions(kind, tasks):
    network = small(kind, tasks)
    chosen = (tasks[2], tasks[0])
    part = small(kind, chosen)
    state = part.state_dict()
    assert not any(tasks[1] in name for name in state)
    part.load_state_dict({name: network.state_dict()[name] for name in state})
    batch = some_batch()
    expected, got = network(batch), part(batch)
    assert tuple(got) == chosen
    for task in chosen:
        torch.testing.assert_close(got[task], expected[task])


@each_network
def test_a_reloaded_state_predicts_the_same(kind, tasks):
    network = small(kind, tasks)
    batch = some_batch()
    network(batch)  # moves the running statistics
    torch.manual_seed(1)
    twin = type(network)(
        tasks, width=WIDTH, classes=5, **({"pretrained": None} if kind is PSPNet else {})
    )
    twin.load_state_dict(network.state_dict())
    network.eval()
    twin.eval()
    for task, expected in network(batch).items():
        assert torch.equal(twin(batch)[task], expected)


@each_network
def test_the_layout_of_the_images_in_memory_changes_nothing(kind, tasks):
    network = small(kind, tasks)
    batch = some_batch()
    turned = ImageBatch(batch.images_BCHW.contiguous(memory_format=torch.channels_last), {})
    expected = network(batch)
    for task, got in network(turned).items():
        torch.testing.assert_close(got, expected[task])


@each_network
def test_the_same_seed_gives_the_same_gradients_bit_for_bit(kind, tasks):
    runs = []
    for _ in range(2):
        network = small(kind, tasks)
        out = network(some_batch())
        own = [network.task_parameters(task) for task in tasks]
        runs.append(TaskGradients(losses_of(out), network.shared_parameters(), own).jacobian())
    assert torch.equal(*runs)
    assert runs[0].isfinite().all()
    assert (runs[0].norm(dim=1) > 0).all()


@each_network
def test_every_way_of_computing_the_task_gradients_agrees(kind, tasks):
    network = small(kind, tasks).double()
    images = some_batch().images_BCHW.double()
    batch = ImageBatch(images, {})

    def written(backend, cut):
        at = Cut.at(network.representation(batch)) if cut else None
        out = network(batch) if at is None else network.predict(at.leaf, batch)
        own = [network.task_parameters(task) for task in tasks]
        gradients = TaskGradients(
            losses_of(out), network.shared_parameters(), own, backend=backend, cut=at
        )
        gram = gradients.gram()
        gradients.apply(torch.tensor([0.5, 2.0, -1.0]), torch.ones(3))
        return gram, [p.grad.clone() for p in network.parameters()]

    expected = written("loop", cut=False)
    ways = [("batched", False), ("streamed", False)]
    if network.has_representation:
        ways += [("loop", True), ("batched", True), ("streamed", True)]
    for backend, cut in ways:
        torch.testing.assert_close(written(backend, cut), expected, rtol=1e-4, atol=1e-7)


@each_network
def test_networks_train_under_autocast(kind, tasks):
    network = small(kind, tasks)
    expected = network(some_batch())
    with torch.autocast("cpu", torch.bfloat16):
        out = network(some_batch())
    sum(losses_of(out)).backward()
    for task in tasks:
        assert out[task].isfinite().all()
        assert expected[task].shape == out[task].shape
    assert all(p.grad.isfinite().all() for p in network.parameters())


@each_network
def test_an_unknown_task_is_named_with_what_there_is(kind, tasks):
    with pytest.raises(ConfigError, match=r"task edges: .*they have segmentation, depth, normal"):
        small(kind, (*tasks, "edges"))


def test_the_configuration_s_way_of_building_keeps_the_error():
    section = {"_target_": "mtl_bench.architectures.segnet.SegNet", "width": WIDTH, "classes": 13}
    with pytest.raises(ConfigError, match="task edges"):
        build(section, tasks=["edges"])
    assert isinstance(build(section, tasks=["depth"]), SegNet)


def test_every_known_task_has_the_channels_of_its_targets():
    outputs = dense_outputs(tuple(CHANNELS), classes=5)
    assert {task: output.channels for task, output in outputs.items()} == CHANNELS


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (64, 1.0, 64),
        (512, 0.25, 128),
        (64, 0.0625, 8),
        (64, 0.3, 16),
        (64, 0.35, 24),
        (128, 2, 256),
    ],
)
def test_scaled_channels_are_the_nearest_multiple_of_8(channels, width, expected):
    assert scaled_channels(channels, width) == expected


def test_unit_vectors_without_a_direction_are_zero_and_get_no_gradient():
    vectors = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    vectors[0, :, 1, 2] = 0
    vectors.requires_grad_()
    units = unit_vectors(vectors)
    (gradient,) = torch.autograd.grad((units * torch.randn_like(units)).sum(), vectors)
    assert (units[0, :, 1, 2] == 0).all()
    assert (gradient[0, :, 1, 2] == 0).all()
    assert gradient.isfinite().all()
    lengths = units.norm(dim=1)
    lengths[0, 1, 2] = 1
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_unit_vectors_against_finite_differences():
    torch.manual_seed(0)
    vectors = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_vectors, vectors)


@pytest.mark.parametrize("kind", [SegNet, MTAN, PSPNet, CrossStitch])
def test_the_narrowest_network_has_no_convolution_that_channels_last_breaks(kind):
    """See ``network_input``."""
    only = {"pretrained": None} if kind is PSPNet else {}
    network = kind(STREETS, width=1e-6, **only)
    strided = [
        module.in_channels
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    ]
    assert all(channels >= 16 for channels in strided)
    assert bool(strided) == (kind is PSPNet)
