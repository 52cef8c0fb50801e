"""The look at a device, tried on the CPU; what only CUDA can tell has stand-ins."""

import json
import signal
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import device
from benchmarks.device import (
    PARTS,
    Place,
    carry_out,
    compare_logs,
    count_events,
    counting_synchronisations,
    look_at_steps,
    measure,
    render,
)
from mtl_bench.errors import ConfigError
from tests.end_to_end.processes import ENVIRONMENT, ROOT

CPU = torch.device("cpu")


@pytest.fixture
def place(tiny_data, tmp_path):
    return Place(CPU, True, tiny_data, tmp_path / "part")


@pytest.mark.parametrize(
    ("network", "methods"),
    [
        pytest.param("qm9", list(device.STEPS), marks=pytest.mark.nightly),
        ("mtan", ["ls", "nashmtl", "taskforce"]),
        ("pspnet", ["ls", "nashmtl", "taskforce"]),
    ],
)
def test_every_method_is_looked_at(network, methods, place, monkeypatch):
    monkeypatch.setattr(device, "NETWORKS", (network,))
    kept = []
    look_at_steps(place, lambda found: kept.append(json.dumps(found)))
    found = json.loads(kept[-1])[network]["methods"]
    assert list(found) == methods
    assert len(kept) == len({*kept}) == len(methods)  # each is known as soon as it is done
    for own in found.values():
        assert own["median_seconds"] > 0
        assert own["peak_memory_bytes"] > 0


def test_what_a_method_fails_on_keeps_no_other_from_being_looked_at(place, monkeypatch):
    def fail_once(place, problem, variant):
        if variant.method == "nashmtl":
            raise torch.OutOfMemoryError("too large")
        return {}

    monkeypatch.setattr(device, "look_at_step", fail_once)
    monkeypatch.setattr(device, "NETWORKS", ("pspnet",))
    found = {}
    look_at_steps(place, found.update)
    methods = found["pspnet"]["methods"]
    assert methods == {
        "ls": {},
        "nashmtl": {"error": "OutOfMemoryError: too large"},
        "taskforce": {},
    }


def test_synchronisations_are_counted_by_where_they_are_asked_for(monkeypatch):
    """A stand-in for CUDA warns as torch does."""
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with counting_synchronisations() as found:
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert modes == ["warn", "default"]
    ((where, count),) = found.items()
    assert where.startswith("benchmarks/test_device.py:")
    assert count == 3


def test_a_profile_is_summed_up():
    def event(key, count, device_type="CPU", micros=0.0):
        kind = getattr(torch.autograd.DeviceType, device_type)
        return SimpleNamespace(
            key=key, count=count, device_type=kind, self_device_time_total=micros
        )

    events = [
        event("aten::mm", 4, micros=50.0),  # of the kernel that it launches
        event("cudaLaunchKernel", 7),
        event("cudaLaunchKernelExC", 2),
        event("cudaStreamSynchronize", 3),
        event("Memcpy DtoH (Device -> Pageable)", 3, "CUDA", 6.0),
        event("gemm", 4, "CUDA", 50.0),
    ]
    assert count_events(events) == {
        "launches": 9,
        "copies_to_the_cpu": 3,
        "copies_to_the_gpu": 0,
        "stream_synchronisations": 3,
        "busy_seconds": pytest.approx(56e-6),
    }
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert {*count_events(seen.key_averages()).values()} == {0}  # nothing of a GPU in it


def test_two_logs_are_compared_bit_for_bit():
    one = {"loss/a": np.array([2.0, 4.0]), "weight/a": np.array([1.0, np.nan])}
    assert compare_logs(one, {**one}) == {"equal": True}
    other = {**one, "loss/a": np.array([2.0, 5.0])}
    assert compare_logs(other, one) == {
        "equal": False,
        "first_step": 2,
        "largest_relative_difference": 0.25,
    }


@pytest.mark.nightly
def test_a_part_that_fails_or_takes_too_long_ends_alone(place, tmp_path, monkeypatch):
    missing = Place(CPU, True, tmp_path, tmp_path / "missing")
    told = carry_out("hours", missing, 300)
    assert (told["state"], told["found"]) == ("failed", None)
    assert "DataError" in told["why"][-1]
    assert carry_out("hours", place, 1) == {
        "state": "cut",
        "why": "no time was left",
        "found": None,
    }
    monkeypatch.setattr(device, "SMALLEST_LIMIT", 0)
    told = carry_out("hours", place, 0.1)
    assert (told["state"], told["why"]) == ("cut", "after 0 seconds")


def test_the_result_is_written_after_every_part(tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    seen = []

    def note(name, place, left):
        seen.append((name, sorted(json.loads(out.read_text())["parts"]) if out.exists() else []))
        return {"state": "ran", "found": None}

    monkeypatch.setattr(device, "carry_out", note)
    result = measure(tmp_path, "cpu", True, out, ["loader", "steps"])
    assert seen == [("loader", []), ("steps", ["loader"])]
    assert json.loads(out.read_text()) == result
    assert (result["molecules"], result["tiny"]) == ("random", True)
    assert "loader: ran" in render(result)
    with pytest.raises(ConfigError, match="only=step: no such part; there are steps, hours"):
        measure(tmp_path, "cpu", True, out, ["step"])


@pytest.mark.nightly
def test_the_script_does_everything(tmp_path):
    out = tmp_path / "out.json"
    done = subprocess.run(
        ["sh", "scripts/gpu_check.sh", "device=cpu", "tiny=true", f"out={out}"],
        cwd=ROOT,
        env=ENVIRONMENT | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    parts = json.loads(out.read_text())["parts"]
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(PARTS, "ran")
    found = {name: part["found"] for name, part in parts.items()}
    assert found["tests"]["outcomes"] == {"passed": 1}
    assert found["hours"]["taskforce"]["projected_hours"] > 0
    assert found["loader"]["qm9"]["0 workers"] > 0
    for method, number in (("ls", 75), ("taskforce", -signal.SIGKILL)):
        own = found["resume"][method]
        assert own["status"] == number
        assert own["resumed"] == own["straight"] == {"equal": True}
    assert "| QM9, taskforce |" in done.stdout
    assert [*tmp_path.iterdir()] == [out]
