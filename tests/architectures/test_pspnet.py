"""PSPNet against the same network written down step by step, and its checkpoints."""

import hashlib
from multiprocessing import get_context

import pytest
import torch
from torch import nn

from mtl_bench.architectures import pretrained
from mtl_bench.architectures.pretrained import RESNET50_URL, fetch_weights, load_encoder
from mtl_bench.architectures.pspnet import PSPNet, PyramidHead
from mtl_bench.architectures.resnet import ResNetEncoder
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError, DataError
from tests.architectures.plain_networks import DILATED, plain_pyramid_head, plain_resnet
from tests.datasets.store.test_download import CONTENT, SHA256, Server

TASKS = ("segmentation", "instance", "disparity")
WIDTH = 1 / 16


def test_predictions_and_gradients_equal_the_plain_network():
    torch.manual_seed(0)
    network = PSPNet(TASKS, width=WIDTH, pretrained=None).double()
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    encoder = dict(network.encoder.named_parameters())
    batch = ImageBatch(images, {})
    features = network.representation(batch)
    expected_features = plain_resnet(encoder, images)
    assert features.shape == (2, 128, 8, 12)
    torch.testing.assert_close(features, expected_features)
    predictions = network.predict(features, batch)
    for task in TASKS:
        own = dict(network.heads[task].named_parameters())
        expected = plain_pyramid_head(own, expected_features)
        if task == "segmentation":
            expected = expected.log_softmax(dim=1)
        torch.testing.assert_close(predictions[task], expected)
        weight = torch.randn_like(expected)
        parameters = [*encoder.values(), *own.values()]
        torch.testing.assert_close(
            torch.autograd.grad((predictions[task] * weight).sum(), parameters, retain_graph=True),
            torch.autograd.grad((expected * weight).sum(), parameters, retain_graph=True),
            rtol=1e-6,
            atol=1e-8,
        )


@pytest.mark.parametrize(("height", "width"), [(32, 64), (5, 7), (6, 6), (2, 3), (1, 1)])
def test_the_re_ordered_convolution_fits_any_size(height, width):
    torch.manual_seed(0)
    head = PyramidHead(12, 8, 3).double()
    features = torch.randn(2, 12, height, width, dtype=torch.float64, requires_grad=True)
    got = head(features)
    expected = plain_pyramid_head(dict(head.named_parameters()), features)
    torch.testing.assert_close(got, expected)
    inputs = [features, *head.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(got.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


def test_the_encoder_has_the_stated_strides_and_dilations():
    with torch.device("meta"):
        encoder = ResNetEncoder(1.0)
        features = encoder(torch.empty(2, 3, 256, 512))
    assert features.shape == (2, 2048, 32, 64)
    for stage, expected in DILATED:
        blocks = getattr(encoder, stage)
        assert len(blocks) == len(expected)
        for block, (stride, dilation) in zip(blocks, expected, strict=True):
            assert block.conv2.stride == (stride, stride)
            assert block.conv2.dilation == block.conv2.padding == (dilation, dilation)
            assert block.conv1.stride == block.conv3.stride == (1, 1)
        strides = [block.downsample is not None and block.downsample[0].stride for block in blocks]
        assert strides == [(expected[0][0],) * 2] + [False] * (len(expected) - 1)


def checkpoint_shapes():
    """Names and shapes of torchvision's resnet50, from its published layout."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048), "fc.bias": (1000,)}
    norms = {"bn1": 64}
    inputs = 64
    for (stage, blocks), planes in zip(DILATED, (64, 128, 256, 512), strict=True):
        for number in range(len(blocks)):
            at = f"{stage}.{number}"
            shapes[f"{at}.conv1.weight"] = (planes, inputs, 1, 1)
            shapes[f"{at}.conv2.weight"] = (planes, planes, 3, 3)
            shapes[f"{at}.conv3.weight"] = (4 * planes, planes, 1, 1)
            norms |= {f"{at}.bn1": planes, f"{at}.bn2": planes, f"{at}.bn3": 4 * planes}
            if number == 0:
                shapes[f"{at}.downsample.0.weight"] = (4 * planes, inputs, 1, 1)
                norms[f"{at}.downsample.1"] = 4 * planes
            inputs = 4 * planes
    for name, channels in norms.items():
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = (channels,)
    return shapes


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with the layout of torchvision's checkpoint: no counters, but a classifier.

    Every tensor is one number, its place in the file, repeated: cheap to write and to compare.
    """
    content = {
        name: torch.tensor(float(place)).expand(shape)
        for place, (name, shape) in enumerate(checkpoint_shapes().items())
    }
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(content, path)
    return path


def test_a_checkpoint_fills_every_parameter_and_statistic(weights):
    network = PSPNet(("disparity",), pretrained=str(weights))
    names = list(checkpoint_shapes())
    filled = {
        name: value
        for name, value in network.encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert filled.keys() == set(names) - {"fc.weight", "fc.bias"}
    for name, value in filled.items():
        assert (value == names.index(name)).all(), name


def test_a_saved_state_with_counters_is_a_checkpoint_too(tmp_path):
    torch.manual_seed(0)
    source, target = ResNetEncoder(WIDTH), ResNetEncoder(WIDTH)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    load_encoder(target, tmp_path / "w.pth")
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(a, b)


def broken(name, state):
    """Return the state of an encoder with one fault."""
    state = dict(state)
    if name == "lacks":
        del state["layer3.2.conv1.weight"], state["layer4.0.bn1.bias"]
    elif name == "unknown":
        state["layer5.weight"] = torch.zeros(1)
    elif name == "shape":
        state["conv1.weight"] = torch.zeros(8, 1, 7, 7)
    return {"nested": {"state": state}} if name == "nested" else state


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("lacks", "lacks layer3.2.conv1.weight and 1 more"),
        ("unknown", "has the unknown layer5.weight; expected"),
        ("shape", "has another shape of conv1.weight; expected"),
        ("nested", "no plain dictionary"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, fault, message):
    encoder = ResNetEncoder(WIDTH)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    torch.save(broken(fault, before), tmp_path / "w.pth")
    with pytest.raises(DataError, match=message) as caught:
        load_encoder(encoder, tmp_path / "w.pth")
    assert "w.pth" in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.pth: there is no such file"):
        PSPNet(TASKS, pretrained=str(tmp_path / "absent.pth"))
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(DataError, match=r"text\.pth: not a readable checkpoint") as caught:
        PSPNet(TASKS, pretrained=str(tmp_path / "text.pth"))
    assert "\n" not in str(caught.value)


class Planted:
    """Pickles to a call that would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"conv1.weight": Planted(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match="not a readable checkpoint"):
        load_encoder(ResNetEncoder(WIDTH), tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_auto_looks_in_torch_hubs_cache_and_checks_what_it_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / RESNET50_URL.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"is damaged.*delete it") as caught:
        PSPNet(TASKS, pretrained="auto")
    assert str(cached) in str(caught.value)


def fetch(url, folder):
    return fetch_weights(url, folder).name


def test_fetched_weights_are_checked_against_their_name_and_kept(tmp_path, capfd):
    with Server() as server:
        url = server.url.replace("/file", f"/net-{SHA256[:8]}.pth")
        with get_context("fork").Pool(2) as pool:  # a sweep's processes start together
            results = [pool.apply_async(fetch, (url, tmp_path / "new")) for _ in range(2)]
            names = [result.get(60) for result in results]
        assert len(server.requests) == 1
    assert names == [f"net-{SHA256[:8]}.pth"] * 2
    assert (tmp_path / "new" / names[0]).read_bytes() == CONTENT
    out, err = capfd.readouterr()
    assert not out
    assert err.count("downloading") == 1
    with Server() as server, pytest.raises(DataError, match="delete it"):
        fetch_weights(server.url.replace("/file", "/net-00000000.pth"), tmp_path)


def test_the_name_of_the_published_file_carries_its_hash():
    assert RESNET50_URL.endswith("/resnet50-19c8e357.pth")
    assert hashlib.sha256(CONTENT).hexdigest() == SHA256


def test_random_weights_are_announced_once(capsys):
    pretrained.warn_of_random_encoder.cache_clear()
    for _ in range(2):
        PSPNet(("disparity",), width=WIDTH, pretrained=None)
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert "WARNING" in err
    assert "architecture.pretrained=auto" in err


def test_pretrained_weights_fit_one_width():
    with pytest.raises(ConfigError, match=r"pretrained=auto with architecture.width=0.5.*width=1"):
        PSPNet(TASKS, width=0.5, pretrained="auto")


def test_a_training_batch_of_one_image_is_refused_and_an_evaluated_one_is_not():
    network = PSPNet(TASKS, width=WIDTH, pretrained=None)
    batch = ImageBatch(torch.rand(1, 3, 64, 64), {})
    with pytest.raises(ConfigError, match=r"batch of one image.*dataset\.batch_size=2"):
        network(batch)
    network.eval()
    assert network(batch)["instance"].shape == (1, 2, 8, 8)


def test_the_heads_read_the_representation_and_nothing_else():
    network = PSPNet(TASKS, width=WIDTH, pretrained=None).eval()
    batch = ImageBatch(torch.rand(2, 3, 64, 64), {})
    representation = network.representation(batch).detach()
    empty = ImageBatch(torch.empty(0), {})
    for task, expected in network(batch).items():
        assert torch.equal(network.predict(representation, empty)[task], expected)


def test_the_encoder_begins_with_weights_scaled_by_fan_out():
    torch.manual_seed(0)
    for module in ResNetEncoder(0.5).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            outputs, _, height, width = module.weight.shape
            expected = (2 / (outputs * height * width)) ** 0.5
            assert abs(module.weight.std() / expected - 1) < 0.1


def test_weights_whose_names_are_numbers_are_refused(tmp_path):
    torch.save({1: torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth: holds no plain dictionary of parameter names"):
        load_encoder(ResNetEncoder(WIDTH), tmp_path / "w.pth")
