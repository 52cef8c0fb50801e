"""On TorchJD's README example our methods make TorchJD's updates."""

import pytest
import torch

from benchmarks.readme_loop import PAIRS, Example, measure, our_step, render, their_step
from mtl_bench.errors import MissingExtraError

pytestmark = pytest.mark.filterwarnings("ignore")  # cvxpy about the program of TorchJD's NashMTL


def flatten(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", PAIRS)
def test_both_train_the_same_network(name):
    ours, theirs = Example(), Example()
    before = flatten(ours)
    try:
        step = their_step(theirs, PAIRS[name])
    except MissingExtraError as error:
        pytest.skip(str(error))
    theirs.train_with(step, 1)
    ours.train_with(our_step(ours, PAIRS[name]), 1)
    vectors = [
        torch.cat([p.detach().flatten() for p in net.parameters()]) for net in (ours, theirs)
    ]
    moved = (vectors[1] - before).norm()
    assert moved > 0.05
    assert (vectors[0] - vectors[1]).norm() < 1e-3 * moved


def test_both_are_timed_in_every_round():
    pytest.importorskip("torchjd")
    result = measure(1, 1, ["Sum", "MGDA"])
    assert set(result["ratio"]) == {"Sum", "MGDA"}
    assert "| MGDA |" in render(result)
