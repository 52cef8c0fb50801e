"""Networks for classification against the same networks written down step by step."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from mtl_bench.architectures.all_fc import AllFC
from mtl_bench.architectures.celeba_resnet import CelebAResNet
from mtl_bench.architectures.cross_stitch_fc import CrossStitchFC
from mtl_bench.architectures.lenet import LeNet
from mtl_bench.architectures.routed import Routed
from mtl_bench.datasets.images import ImageBatch, TaskImageBatch
from mtl_bench.gradients import Cut, TaskGradients
from mtl_bench.testing import check_architecture
from tests.architectures.plain_networks import norm

DIGITS = ("left", "right")
SUPERCLASSES = tuple(f"class_{number}" for number in range(20))
FACES = tuple(f"attribute_{number}" for number in range(40))
OF_CIFAR = (AllFC, Routed, CrossStitchFC)
TASKS = {LeNet: DIGITS, CelebAResNet: FACES} | dict.fromkeys(OF_CIFAR, SUPERCLASSES)
SIZES = {LeNet: (1, 28), CelebAResNet: (3, 64)} | dict.fromkeys(OF_CIFAR, (3, 32))
SMALL = {
    LeNet: partial(LeNet, DIGITS),
    CelebAResNet: partial(CelebAResNet, FACES[:3], width=1 / 8),
    AllFC: partial(AllFC, SUPERCLASSES[:3]),
    Routed: partial(Routed, SUPERCLASSES[:3], modules=4),
    CrossStitchFC: partial(CrossStitchFC, SUPERCLASSES[:3]),
}
each_network = pytest.mark.parametrize("kind", list(SMALL), ids=lambda kind: kind.__name__)


def scalars(parameters):
    return sum(p.numel() for p in parameters)


def small(kind, dtype=torch.float32):
    torch.manual_seed(0)
    return SMALL[kind]().to(dtype)


def tasks_of(kind):
    return TASKS[kind][: 2 if kind is LeNet else 3]


def batch_of(kind, dtype=torch.float32):
    """Two images of each task, those of its own where the data sets have such."""
    channels, size = SIZES[kind]
    own = kind in OF_CIFAR
    count = 6 if own else 2
    images = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(3))
    targets = {task: torch.tensor([0, 1]) for task in tasks_of(kind)}
    return (TaskImageBatch if own else ImageBatch)(images.to(dtype), targets)


@pytest.mark.parametrize(
    ("kind", "tasks", "total", "shared"),
    [
        (LeNet, DIGITS, 27_450, 21_330),
        (LeNet, DIGITS[:1], 24_390, 21_330),
        (CelebAResNet, FACES, 11_332_752, 11_173_962 - 5_130),  # less the classifier of CIFAR's
        (AllFC, SUPERCLASSES, 204_484, 28_704),
        (AllFC, SUPERCLASSES[:1], 28_704 + 8_789, 28_704),
        (partial(AllFC, own_layers=1), SUPERCLASSES, 37_248 + 20 * 245, 37_248),
        (Routed, SUPERCLASSES, 204_484, 28_704),
        (CrossStitchFC, SUPERCLASSES, 204_484 + 2 * 48 * 400, 237_984),
    ],
)
def test_parameter_counts_are_those_of_the_papers_networks(kind, tasks, total, shared):
    network = kind(tasks)
    assert scalars(network.parameters()) == total
    assert scalars(network.shared_parameters()) == shared
    others = [*network.summed_parameters(), *network.own_parameters(tasks)]
    assert scalars(others) == total - shared


@each_network
def test_the_contract_of_an_architecture(kind):
    check_architecture(small(kind), batch_of(kind), tasks_of(kind))


@each_network
def test_task_gradients_are_those_of_plain_autograd(kind):
    network, batch = small(kind, torch.float64).eval(), batch_of(kind, torch.float64)
    if kind is CelebAResNet:
        network.train()

    def losses(predictions):
        return [F.cross_entropy(predictions[task], batch.targets[task]) for task in predictions]

    rows = [
        torch.autograd.grad(loss, network.shared_parameters(), allow_unused=True)
        for loss in (losses(network(batch))[t] for t in range(len(tasks_of(kind))))
    ]
    expected = torch.stack(
        [
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(network.shared_parameters(), row, strict=True)
                ]
            )
            for row in rows
        ]
    )
    own = [network.task_parameters(task) for task in tasks_of(kind)]
    for backend in ("loop", "batched"):
        cut = Cut.at(network.representation(batch)) if network.has_representation else None
        out = network(batch) if cut is None else network.predict(cut.leaf, batch)
        gradients = TaskGradients(
            losses(out), network.shared_parameters(), own, backend=backend, cut=cut
        )
        torch.testing.assert_close(gradients.gram(), expected @ expected.T)


def test_lenet_is_the_network_written_down():
    network, batch = small(LeNet).eval(), batch_of(LeNet)
    state = dict(network.named_parameters())
    x = F.conv2d(batch.images_BCHW, state["conv1.weight"], state["conv1.bias"])
    x = F.max_pool2d(x, 2).relu()
    x = F.conv2d(x, state["conv2.weight"], state["conv2.bias"])
    x = F.max_pool2d(x, 2).relu().view(-1, 320)
    x = (x @ state["linear.weight"].T + state["linear.bias"]).relu()
    for task, logits in network(batch).items():
        y = (x @ state[f"heads.{task}.0.weight"].T + state[f"heads.{task}.0.bias"]).relu()
        expected = y @ state[f"heads.{task}.3.weight"].T + state[f"heads.{task}.3.bias"]
        torch.testing.assert_close(logits, expected)


def test_lenet_leaves_out_the_same_channels_in_every_image():
    network = LeNet(DIGITS, dropout=0.5)
    kept = set()
    images = torch.rand(1, 1, 28, 28).expand(8, 1, 28, 28)
    for seed in range(5):
        torch.manual_seed(seed)
        features = network.representation(ImageBatch(images, {}))
        assert (features == features[:1]).all()
        kept.add(features[0].sum().item())
    assert len(kept) > 1
    torch.nn.init.ones_(network.linear.weight)
    with torch.no_grad():
        means = [network.representation(ImageBatch(images[:1], {})) for _ in range(400)]
        expected = network.eval().representation(ImageBatch(images[:1], {}))
    ratio = torch.cat(means).mean() / expected.mean()
    assert 0.8 < ratio < 1.25


def test_celeba_resnet_is_the_network_written_down():
    network, batch = small(CelebAResNet), batch_of(CelebAResNet)
    state = dict(network.named_parameters())
    x = norm(state, "bn1", F.conv2d(batch.images_BCHW, state["conv1.weight"], padding=1)).relu()
    for stage in range(4):
        for block in range(2):
            at, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
            y = F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = norm(state, f"{at}.bn1", y).relu()
            y = norm(state, f"{at}.bn2", F.conv2d(y, state[f"{at}.conv2.weight"], padding=1))
            if stride == 2:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=2)
                x = norm(state, f"{at}.downsample.1", x)
            x = (x + y).relu()
    assert x.shape == (2, 64, 8, 8)
    features = x.view(2, 64, 2, 4, 2, 4).mean(dim=(3, 5)).flatten(1)
    for task, logits in network(batch).items():
        head = state[f"heads.{task}.weight"], state[f"heads.{task}.bias"]
        torch.testing.assert_close(logits, F.linear(features, *head), rtol=1e-4, atol=1e-5)


def plain_trunk(state, images):
    x = images
    for number in (0, 3, 6, 9):
        x = F.conv2d(x, state[f"trunk.{number}.weight"], state[f"trunk.{number}.bias"], padding=1)
        x = F.max_pool2d(x.relu(), 2)
    return norm(state, "trunk.12", x).flatten(1)


def plain_linear(state, name, x):
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


@pytest.mark.parametrize("own_layers", [1, 2, 3])
def test_all_fc_is_the_network_written_down(own_layers):
    torch.manual_seed(0)
    network, batch = AllFC(SUPERCLASSES[:3], own_layers=own_layers), batch_of(AllFC)
    state = dict(network.named_parameters())
    features = plain_trunk(state, batch.images_BCHW)
    for number, (task, scores) in enumerate(network(batch).items()):
        x = features[2 * number : 2 * number + 2]
        for layer in range(3):
            first = 3 - own_layers
            own = f"heads.{task}.{layer - first}.0"
            x = plain_linear(state, own if layer >= first else f"trunk.{14 + layer}.0", x)
            x = x.relu() if layer < 2 else x
        torch.testing.assert_close(scores, x)


def test_cross_stitch_fc_is_the_network_written_down():
    network, batch = small(CrossStitchFC), batch_of(CrossStitchFC)
    state = dict(network.named_parameters())
    with torch.no_grad():
        for unit in network.units:
            unit.mix_TTC.normal_()
    features = [plain_trunk(state, batch.images_BCHW)] * 3
    for layer in range(2):
        own = [
            plain_linear(state, f"layers.{layer}.{t}.0", x).relu() for t, x in enumerate(features)
        ]
        mix = state[f"units.{layer}.mix_TTC"]
        features = [sum(mix[t, s] * own[s] for s in range(3)) for t in range(3)]
    for number, (task, scores) in enumerate(network(batch).items()):
        rows = features[number][2 * number : 2 * number + 2]
        expected = plain_linear(state, f"heads.{task}.0", rows)
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
