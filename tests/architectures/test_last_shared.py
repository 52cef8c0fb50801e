"""Which layer a network says is the last that its tasks share."""

from functools import partial

import pytest
import torch

from mtl_bench.architectures.all_fc import AllFC
from mtl_bench.architectures.celeba_resnet import CelebAResNet
from mtl_bench.architectures.cross_stitch import CrossStitch
from mtl_bench.architectures.cross_stitch_fc import CrossStitchFC
from mtl_bench.architectures.lenet import LeNet
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.images import ImageBatch

DENSE = ("segmentation", "depth", "normal")
NETWORKS = {
    "lenet": (partial(LeNet, ("left", "right")), (1, 28, 28)),
    "celeba_resnet": (partial(CelebAResNet, ("bald", "young"), width=0.01), (3, 64, 64)),
    "all_fc": (partial(AllFC, ("fish", "trees")), (3, 32, 32)),
    "one_fc": (partial(AllFC, ("fish", "trees"), own_layers=1), (3, 32, 32)),
    "cross_stitch_fc": (partial(CrossStitchFC, ("fish", "trees")), (3, 32, 32)),
    "segnet": (partial(SegNet, DENSE, width=0.01), (3, 32, 32)),
    "mtan": (partial(MTAN, DENSE, width=0.01), (3, 32, 32)),
    "pspnet": (partial(PSPNet, DENSE[:2], width=0.01, pretrained=None), (3, 32, 32)),
}


def depths(output):
    """Return leaf -> the operations between it and an output, the shortest way."""
    found, layer, seen = {}, [output.grad_fn], {output.grad_fn}
    for depth in range(10_000):
        if not layer:
            break
        following = []
        for node in layer:
            if hasattr(node, "variable"):
                found.setdefault(node.variable, depth)
            for after, _ in node.next_functions:
                if after is not None and after not in seen:
                    seen.add(after)
                    following.append(after)
        layer = following
    return found


@pytest.mark.filterwarnings("ignore:.*random weights")
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_nearest_to_the_predictions_of_all_tasks(name):
    build, shape = NETWORKS[name]
    network = build()
    reached = [depths(x.sum()) for x in network(ImageBatch(torch.rand(2, *shape), {})).values()]
    weights = [p for p in network.shared_parameters() if p.dim() > 1]
    everywhere = {
        p: max(of[p] for of in reached) for p in weights if all(p in of for of in reached)
    }
    assert network.last_shared_weight() is min(everywhere, key=lambda p: everywhere[p])


def test_it_is_the_last_unit_the_linear_layer_of_the_read_out_or_nothing():
    stitched = CrossStitch(DENSE, width=0.01)
    assert stitched.last_shared_weight() is stitched.decoder_units[0].mix_TTC
    network = MPNN(("mu", "alpha"), dim=4, edge_hidden=4)
    assert network.last_shared_weight() is network.readout.weight
    separate = SingleTask(("left", "right"), lambda tasks: LeNet(tasks))
    assert separate.last_shared_weight() is None
