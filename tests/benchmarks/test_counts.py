"""What a step asks of a GPU, counted."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import counts, qm9
from benchmarks.counts import BANDWIDTH, LAUNCH, RATE, Cost, Counter, RunLength, measure, render
from mtl_bench.architectures import products


def test_kernels_are_counted_with_their_bytes_and_views_are_not():
    a, b = torch.ones(2, 3), torch.ones(4, 3)
    with Counter() as counter:
        with counter.within("forward"):
            product = a @ b.T  # 24 + 48 + 32 bytes
            with counter.within("method"):
                product.view(-1)[2:].add_(1)  # one tensor of 24 bytes, which is its own result
        torch.empty(5)
    assert counter.phases["forward"] == Cost(1, 104, 2 * 2 * 3 * 4, LAUNCH)
    assert counter.phases["method"] == Cost(1, 24, 0, LAUNCH)
    assert counter.phases.keys() == {"forward", "method"}


def test_the_longest_of_three_bounds_a_cost():
    assert Cost(launches=1000, bytes=1, flops=1).bound == 1000 * LAUNCH
    assert Cost(bytes=10**12).bound == 10**12 / BANDWIDTH
    assert Cost(flops=10**15).bound == 10**15 / RATE


def test_a_run_has_hours():
    run = RunLength(epochs=300, updates=900, evaluated=100)
    assert run.hours(update=0.01, batch=0.03) == pytest.approx(300 * 12 / 3600)


def test_operations_of_a_forward_pass_are_those_that_torch_counts(tiny_data):
    problem = qm9.problem(tiny_data, profile="smoke")
    batch = next(problem.batches)
    cost = counts.count_evaluation(problem, batch)
    with torch.no_grad(), FlopCounterMode(display=False) as peer:
        problem.network(batch)
    assert cost.flops == peer.get_total_flops() > 0


def test_methods_differ_in_what_they_ask_of_the_gradients(mixed_data):
    result = measure(mixed_data, ["ls", "graddrop", "taskforce batched"], profile="smoke")
    launches = {
        name: {phase: cost["launches"] for phase, cost in own["phases"].items()}
        for name, own in result["methods"].items()
    }
    assert launches["graddrop"]["gradients"] > 8 * launches["ls"]["gradients"]  # of 11 tasks
    assert launches["taskforce batched"]["gradients"] < 3 * launches["ls"]["gradients"]
    forward = [own["phases"]["forward"] for own in result["methods"].values()]
    assert forward[0] == forward[1] == forward[2]  # of the same molecules
    assert launches["graddrop"]["method"] == 0  # it works where the gradients are
    assert result["methods"]["taskforce batched"]["method_cpu_seconds"] > 0
    for own in result["methods"].values():
        assert 0 < own["seconds"]["bound"] <= 1.001 * own["seconds"]["derived"]
    assert "table_hours" not in result
    assert "| taskforce batched |" in render(result)


def test_products_are_counted_where_the_processor_has_a_library_of_its_own(tiny_data, monkeypatch):
    monkeypatch.setattr(products, "ONEDNN_FLOATS", 1)
    flops = []
    for processor in (False, True):
        monkeypatch.setattr(products, "is_amd_avx512", lambda own=processor: own)
        flops.append(measure(tiny_data, ["ls"], profile="smoke")["methods"]["ls"]["total"]["flops"])
    assert flops[0] == flops[1] > 0


def test_padded_molecules_need_fewer_launches_of_larger_products(mixed_data):
    result = measure(mixed_data, ["ls", "ls padded"], profile="smoke")["methods"]
    plain, padded = (result[name]["total"] for name in ("ls", "ls padded"))
    assert padded["launches"] < plain["launches"]
    assert padded["flops"] > plain["flops"]
