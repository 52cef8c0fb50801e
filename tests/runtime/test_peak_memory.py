"""The peak of memory is that of a run, not of the process's runs before."""

import sys

import pytest
import torch

from mtl_bench.runtime import memory
from mtl_bench.runtime.environment import prepare_process
from mtl_bench.runtime.memory import forget_peak, peak_memory_bytes

CPU = torch.device("cpu")
SETTINGS = {"threads": None, "determinism": "off", "device": "cpu"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_an_earlier_run_took_is_forgotten():
    prepare_process(SETTINGS)  # the first time imports much
    large = torch.ones(50_000_000)
    del large
    earlier = peak_memory_bytes(CPU)
    prepare_process(SETTINGS)
    begun = peak_memory_bytes(CPU)
    assert begun < earlier - 150e6
    kept = torch.ones(25_000_000)
    assert begun + 90e6 < peak_memory_bytes(CPU) < earlier - 50e6
    assert kept.all()


def test_the_peak_of_the_runs_own_gpu_is_forgotten(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "init", lambda: asked.append("init"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    device = torch.device("cuda:1")
    forget_peak(device)
    assert asked == ["init", device]
    assert peak_memory_bytes(device) == 7


def test_without_proc_the_kernels_count_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "missing")
    forget_peak(CPU)
    assert 50e6 < peak_memory_bytes(CPU) < 500e9
