"""Cross-stitch networks against SegNets that they are made of."""

import pytest
import torch

from mtl_bench.architectures.cross_stitch import CrossStitch, StitchUnit
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.config.compose import compose_config
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.gradients import TaskGradients
from mtl_bench.testing import check_architecture

TASKS = ("segmentation", "depth", "normal")
WIDTH = 1 / 16


def small(**fields):
    torch.manual_seed(0)
    return CrossStitch(TASKS, width=WIDTH, classes=5, **fields).double()


def batch():
    images = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(3))
    return ImageBatch(images.double(), {})


def scalars(parameters):
    return sum(p.numel() for p in parameters)


def test_parameter_counts_are_those_of_three_segnets_and_nine_units():
    with torch.device("meta"):
        network = CrossStitch(TASKS)
    channels = [64, 128, 256, 512, 512, 512, 256, 128, 64]
    assert scalars(network.parameters()) == 3 * 24_943_296 + 111_889 + 9 * sum(channels)
    last = 2 * (64 * 64 * 9 + 64 + 2 * 64)  # two convolutions with their norms
    shared = 3 * (24_943_296 - last) + 9 * sum(channels)
    assert scalars(network.shared_parameters()) == shared


def test_the_contract_of_an_architecture():
    network = small()
    check_architecture(network, batch(), TASKS)
    gradients = [
        torch.autograd.grad(
            prediction.square().sum(), network.parameters(), retain_graph=True, allow_unused=True
        )
        for prediction in network(batch()).values()
    ]
    shared = set(network.shared_parameters())
    for parameter, *reached in zip(network.parameters(), *gradients, strict=True):
        count = sum(gradient is not None for gradient in reached)
        last_unit = parameter is network.decoder_units[0].mix_TTC
        assert count == (3 if parameter in shared or last_unit else 1)


def test_networks_that_keep_all_of_their_own_are_segnets_side_by_side():
    network = small(own=1.0)
    for task, prediction in network(batch()).items():
        alone = SegNet((task,), width=WIDTH, classes=5).double()
        own = {f"trunk.{k}": v for k, v in network.trunks[task].state_dict().items()}
        own |= {f"heads.{task}.{k}": v for k, v in network.heads[task].state_dict().items()}
        alone.load_state_dict(own)
        torch.testing.assert_close(prediction, alone(batch())[task])


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_a_unit_mixes_channel_by_channel(tasks):
    unit = StitchUnit(tasks, channels=4, own=0.9)
    mix_TTC = unit.mix_TTC.detach()
    torch.testing.assert_close(mix_TTC.sum(dim=1), torch.ones(tasks, 4))
    assert tasks == 1 or (mix_TTC.diagonal() == 0.9).all()
    torch.nn.init.normal_(unit.mix_TTC)
    features = torch.randn(tasks, 2, 4, 3, 5)
    expected = torch.einsum("tsc,sbchw->tbchw", unit.mix_TTC, features)
    torch.testing.assert_close(torch.stack(unit(list(features))), expected)


def test_task_gradients_are_those_of_plain_autograd():
    network = small()
    own = [network.task_parameters(task) for task in TASKS]
    shared = network.shared_parameters()

    def losses():
        return [prediction.square().mean() for prediction in network(batch()).values()]

    gradients = TaskGradients(losses(), shared, own)
    rows = []
    for t in range(3):
        row = torch.autograd.grad(losses()[t], shared, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    torch.zeros(p.numel()) if g is None else g.flatten()
                    for p, g in zip(shared, row, strict=True)
                ]
            )
        )
    expected = torch.stack([row.double() for row in rows])
    torch.testing.assert_close(gradients.gram(), expected @ expected.T)


def test_its_single_task_networks_are_segnets_without_the_fields_of_units():
    shared = compose_config(["dataset=nyuv2", "method=ls", "architecture=cross_stitch"])
    alone = compose_config(["dataset=nyuv2", "method=stl", "architecture=cross_stitch"])
    assert shared["architecture"]["own"] == 0.9
    assert "own" not in alone["architecture"]
    assert alone["architecture"]["_target_"] == "mtl_bench.architectures.segnet.SegNet"
