"""What a GPU is to show, in parts of which none can take the others along.

Each part runs in a process of its own for so many seconds at most, and writes down what it knows
as soon as it knows it; ``out`` is written anew after every part. ``scripts/gpu_check.sh`` starts
it. Where QM9 is not prepared, random molecules of the same sizes take its place, and ``molecules``
says so.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.counts import measure_run
from benchmarks.random_molecules import write_molecules
from benchmarks.steps import MethodVariant, Problem, build_component
from mtl_bench import build_dataset
from mtl_bench.datasets.procedural.rooms.synth import synth
from mtl_bench.errors import ConfigError
from mtl_bench.files import read_json, write_json
from mtl_bench.records.steps import find_parts
from mtl_bench.records.writer import now
from mtl_bench.runtime.environment import (
    choose_device,
    choose_workers,
    device_name,
    prepare_process,
)
from mtl_bench.runtime.memory import forget_peak, peak_memory_bytes
from mtl_bench.training.update import Update

BUDGET = 480
"""Seconds of all parts together."""

SMALLEST_LIMIT = 5
"""Seconds below which a part is not begun."""

NETWORKS = ("qm9", "mtan", "pspnet")

STEPS = {
    "ls": MethodVariant("ls"),
    "nashmtl": MethodVariant("nashmtl"),
    "taskforce": MethodVariant("taskforce"),
    "taskforce batched": MethodVariant("taskforce", {"backend": "batched"}),
}
"""Methods whose steps are looked at: of losses, of the Gram matrix, with agents; two backends."""

SYNCHRONISES = "synchronizing CUDA operation"
"""What torch warns of in its mode for debugging synchronisations."""

RESUMED = {"ls": signal.SIGTERM, "taskforce": signal.SIGKILL}
"""Method -> how its run is ended: asked to, so that it saves itself, or not asked."""

EVENTS = {
    "launches": ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch"),
    "copies_to_the_cpu": ("Memcpy DtoH",),
    "copies_to_the_gpu": ("Memcpy HtoD",),
    "stream_synchronisations": ("cudaStreamSynchronize", "cudaDeviceSynchronize"),
}
"""What is counted of a profile -> how the names of its events begin."""

TRAINING = ("data", "forward", "method", "optimizer")
"""Phases of an update among the seconds of an epoch."""

ROOT = Path(__file__).resolve().parents[1]
FOUND, ERRORS = "found.json", "errors.txt"
LINES = 5
"""Last lines of the errors of a part that failed, for the result."""

QM9_MOLECULES = 130_831
TINY_MOLECULES = 20_960


@dataclass(frozen=True)
class Place:
    """Where a part works.

    Args:
        device: that is looked at.
        tiny: whether sizes are those of tests.
        data: folder of prepared data.
        folder: for what the part leaves behind.
    """

    device: torch.device
    tiny: bool
    data: Path
    folder: Path

    @property
    def profile(self) -> str:
        """Whose sizes networks have."""
        return "smoke" if self.tiny else "paper"

    @property
    def is_cuda(self) -> bool:
        """Whether there is anything of CUDA to be seen."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for what the device has been given to do."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)


Keep = Callable[[dict[str, Any]], None]
"""What a part hands its result to, as far as it is."""


def run_tests(place: Place, keep: Keep) -> None:
    """Run the tests of tests/cuda, as ``make test-cuda`` does; on a CPU those that compare it."""
    chosen = ["-m", "cuda" if place.is_cuda else "nightly"]
    if place.tiny:
        chosen += ["-k", "says_what"]
    words = ["-m", "pytest", "-v", "--tb=line", *chosen, "tests/cuda"]
    result: dict[str, Any] = {"command": " ".join(["python", *words]), "outcomes": {}, "failed": []}
    environment = {"OMP_NUM_THREADS": "1"} | ({"MTL_BENCH_TEST_CUDA": "1"} if place.is_cuda else {})
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        outcomes: Counter[str] = Counter()
        for line in process.stdout:
            if found := re.match(r"(tests/\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", line):
                outcomes[found[2].lower()] += 1
                result["outcomes"] = dict(outcomes)
                if found[2] in ("FAILED", "ERROR"):
                    result["failed"].append(found[1])
                keep(result)
    keep(result | {"status": process.returncode})


def resume_runs(place: Place, keep: Keep) -> None:
    """Train twice without a break and once with one, and tell by how much the runs differ."""
    result: dict[str, Any] = {}
    sizes = ["profile=demo", "dataset.train_size=2400", "trainer.epochs=5"]
    if place.tiny:
        sizes = ["profile=smoke"]
    for method, number in RESUMED.items():
        words = [f"method={method}", *sizes]
        folders = {
            name: place.folder / f"{method}-{name}" for name in ("first", "second", "broken")
        }
        for name in ("first", "second"):
            _start(place, folders[name], words).wait()
        result[method] = {
            "signal": number.name,
            **_break(_start(place, folders["broken"], words), folders["broken"], number),
        }
        _start(place, folders["broken"], words).wait()
        logs = {name: read_log(folder) for name, folder in folders.items()}
        result[method] |= {
            "steps": len(next(iter(logs["first"].values()))),
            "resumed": compare_logs(logs["broken"], logs["first"]),
            "straight": compare_logs(logs["second"], logs["first"]),
        }
        keep(result)


def _start(place: Place, results: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin a run of QM9 by the command line."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mtl_bench", "train", "dataset=qm9", "logger.progress=off"),
            *(f"paths.data={place.data}", f"paths.results={results}"),
            *(f"trainer.device={place.device}", *words),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def _break(
    process: subprocess.Popen[bytes], folder: Path, number: signal.Signals
) -> dict[str, int]:
    """Send a run a signal after its first epoch; return how far it was and its exit status."""
    while process.poll() is None and not any(_lines(folder)):
        time.sleep(0.01)
    epochs = len(_lines(folder))
    process.send_signal(number)
    return {"epochs_before": epochs, "status": process.wait()}


def _lines(folder: Path) -> list[str]:
    """Return the lines of a run's metrics."""
    return [
        line for path in folder.rglob("metrics.jsonl") for line in path.read_text().splitlines()
    ]


def read_log(folder: Path) -> dict[str, np.ndarray]:
    """Return the losses and weights of every step of the one run in a folder."""
    (steps,) = folder.rglob("steps")
    parts = [pq.read_table(part).to_pydict() for part in find_parts(steps)]
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if name.startswith(("loss/", "weight/"))
    }


def compare_logs(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Tell whether two runs are equal bit for bit, else from which step on, and by how much.

    Example:
        >>> one, other = {"loss/a": np.array([2.0, 4.0])}, {"loss/a": np.array([2.0, 5.0])}
        >>> compare_logs(one, one), compare_logs(other, one)
        ({'equal': True}, {'equal': False, 'first_step': 2, 'largest_relative_difference': 0.25})
    """
    a, b = (np.stack([log[name] for name in sorted(expected)]) for log in (found, expected))
    if np.array_equal(a, b, equal_nan=True):
        return {"equal": True}
    differs = ~np.isclose(a, b, rtol=0, atol=0, equal_nan=True)
    return {
        "equal": False,
        "first_step": int(differs.any(axis=0).argmax()) + 1,
        "largest_relative_difference": float(np.max(np.abs(a - b)[differs] / np.abs(b)[differs])),
    }


def look_at_steps(place: Place, keep: Keep) -> None:
    """Look at single updates of the papers' networks, as runs make them."""
    result: dict[str, Any] = {}
    for name in NETWORKS:
        problem = importlib.import_module(f"benchmarks.{name}").problem(place.data, place.profile)
        problem.network.to(place.device)
        result[name] = {"title": problem.title, "methods": {}}
        for contestant, variant in STEPS.items():
            if variant.options and not problem.network.batched_backward:
                continue
            try:
                told = look_at_step(place, problem, variant)
            except RuntimeError as error:  # for want of memory, say; the others may fit
                told = {"error": f"{type(error).__name__}: {error}"}
            result[name]["methods"][contestant] = told
            keep(result)


def look_at_step(place: Place, problem: Problem, variant: MethodVariant) -> dict[str, Any]:
    """Return seconds, memory, synchronisations and launches of an update."""
    component = build_component(problem, variant, place.device)
    update = Update([task.name for task in problem.tasks])
    rounds = 1 if place.tiny else 10
    drawn = [next(problem.batches) for _ in range(rounds)]
    batches = cycle([batch.pin_memory() for batch in drawn] if place.is_cuda else drawn)

    def step() -> None:
        update(component, [next(batches)])

    for _ in range(1 if place.tiny else 3):
        step()
    place.wait()
    forget_peak(place.device)
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        step()
        place.wait()
        seconds.append(time.perf_counter() - begin)
    told: dict[str, Any] = {
        "median_seconds": median(seconds),
        "all_seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes(place.device),
    }
    if place.is_cuda:
        with counting_synchronisations() as found:
            step()
        told |= {"synchronisations": found.total(), "synchronisations_at": dict(found)}
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            step()
            place.wait()
        told |= count_events(seen.key_averages())
    return told


@contextmanager
def counting_synchronisations() -> Iterator[Counter[str]]:
    """Count by file and line what makes the CPU wait for the GPU; filled in at the end."""
    found: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for warning in caught:
        if SYNCHRONISES in str(warning.message):
            found["/".join([*Path(warning.filename).parts[-2:]]) + f":{warning.lineno}"] += 1


def count_events(events: Iterable[Any]) -> dict[str, Any]:
    """Return launches, copies to the CPU and the GPU's busy seconds of what torch has profiled."""
    counts: Counter[str] = Counter()
    busy = 0.0
    for event in events:
        for name, starts in EVENTS.items():
            if event.key.startswith(starts):
                counts[name] += event.count
        if event.device_type == torch.autograd.DeviceType.CUDA:
            busy += event.self_device_time_total
    return {name: counts[name] for name in EVENTS} | {"busy_seconds": busy / 1e6}


def time_loaders(place: Place, keep: Keep) -> None:
    """Time how many images and molecules a second reach the device, from here and from workers."""
    sizes, jobs = ((8, 4, 96, 128), 1) if place.tiny else ((64, 4, 288, 384), None)
    synth(place.folder / "nyuv2", *sizes, jobs=jobs, report=lambda line: None)
    result: dict[str, Any] = {"pinned": place.is_cuda}
    for name, data in (("nyuv2", place.folder), ("qm9", place.data)):
        dataset = build_dataset(name, profile=place.profile, data=str(data))
        result[name] = {}
        for workers in (0,) if place.tiny else (0, choose_workers("auto", torch.device("cuda"))):
            batches = dataset.train_batches(1, workers=workers, pin=place.is_cuda)
            begin, samples = time.perf_counter(), 0
            for batch in islice(batches, 200):
                batch.to(place.device)
                samples += len(next(iter(batch.targets.values())))
            place.wait()
            result[name][f"{workers} workers"] = samples / (time.perf_counter() - begin)
            keep(result)


def project_hours(place: Place, keep: Keep) -> None:
    """Train for 200 steps and an evaluation of ``profile=paper``, and project a run's hours."""
    run = measure_run(place.data)
    sizes = ["profile=smoke"] if place.tiny else ["profile=paper", "dataset.train_size=24000"]
    result: dict[str, Any] = {"run": run._asdict()}
    for name in ("ls", "taskforce", "taskforce batched"):
        variant, folder = STEPS[name], place.folder / name.replace(" ", "-")
        options = [f"gradients.{key}={value}" for key, value in variant.options.items()]
        words = [f"method={variant.method}", *options, *sizes, "trainer.epochs=1"]
        status = _start(place, folder, words).wait()
        result[name] = {"status": status, "words": words}
        if status == 0:
            (summary,) = (read_json(path) for path in folder.rglob("summary.json"))
            (metrics,) = map(json.loads, _lines(folder))
            spent = metrics["seconds"]
            update = sum(spent[phase] for phase in TRAINING) / summary["steps"]
            evaluation = spent["validation"] + spent["test"]
            result[name] |= {
                "steps": summary["steps"],
                "seconds": spent,
                "peak_memory_bytes": summary["peak_memory_bytes"],
                "update_seconds": update,
                "projected_hours": run.epochs * (run.updates * update + evaluation) / 3600,
            }
        keep(result)


PARTS: dict[str, tuple[Callable[[Place, Keep], None], int]] = {
    "steps": (look_at_steps, 120),
    "hours": (project_hours, 100),
    "loader": (time_loaders, 40),
    "resume": (resume_runs, 100),
    "tests": (run_tests, 160),
}
"""Part -> what it does, and the seconds that it may take; the most telling come first."""


def measure(
    data: Path, name: str, tiny: bool, out: Path, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Carry out the parts one after another and return what they found.

    Args:
        data: folder of prepared data.
        name: of the device, as for ``trainer.device``.
        tiny: whether sizes are those of tests.
        out: file that has what is known so far.
        only: parts, by default all.

    Raises:
        ConfigError: there is no such device or part.
    """
    device = choose_device(name)
    for part in only:
        if part not in PARTS:
            raise ConfigError(f"only={part}: no such part; there are {', '.join(PARTS)}")
    end = time.monotonic() + BUDGET
    result: dict[str, Any] = {
        "began": now(),
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "device": device_name(device),
        "tiny": tiny,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "molecules": "QM9",
        "parts": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        if tiny or not (data / "qm9").exists():
            result["molecules"] = "random"
            data = Path(folder)
            write_molecules(data, TINY_MOLECULES if tiny else QM9_MOLECULES)
        for part in only or PARTS:
            place = Place(device, tiny, data.absolute(), Path(folder) / part)
            result["parts"][part] = carry_out(part, place, end - time.monotonic())
            write_json(out, result)
    return result


def carry_out(name: str, place: Place, left: float) -> dict[str, Any]:
    """Carry out a part in a process group of its own, which ends with its time.

    Args:
        name: of the part.
        place: where; its folder is made.
        left: seconds for all parts that are left.
    """
    limit = min(PARTS[name][1], left)
    if limit < SMALLEST_LIMIT:
        return {"state": "cut", "why": "no time was left", "found": None}
    place.folder.mkdir()
    words = [name, str(place.device), str(place.tiny), str(place.data), str(place.folder)]
    begin = time.monotonic()
    with (place.folder / ERRORS).open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.device", *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        told: dict[str, Any] = {"state": "ran"}
        try:
            if process.wait(limit) != 0:
                told = {"state": "failed"}
        except subprocess.TimeoutExpired:
            told = {"state": "cut", "why": f"after {limit:.0f} seconds"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if told["state"] == "failed":
        told["why"] = (place.folder / ERRORS).read_text().splitlines()[-LINES:]
    found = place.folder / FOUND
    seconds = round(time.monotonic() - begin, 1)
    return told | {"seconds": seconds, "found": read_json(found) if found.exists() else None}


def render(result: dict[str, Any]) -> str:
    """Return what the parts came to, and the steps as a Markdown table."""
    lines = [
        f"{result['device']}, torch {result['torch']}, molecules: {result['molecules']}",
        *(
            f"{name}: {part['state']}" + (f" ({part['why']})" if "why" in part else "")
            for name, part in result["parts"].items()
        ),
    ]
    steps = result["parts"].get("steps", {}).get("found") or {}
    if steps:
        lines += [
            "",
            "| | step, ms | synchronisations | launches | peak GB |",
            "|---|---|---|---|---|",
        ]
    for network in steps.values():
        for method, own in network["methods"].items():
            cells = ["–"] * 4
            if "error" not in own:
                counts = (own.get(key, "–") for key in ("synchronisations", "launches"))
                step, peak = 1e3 * own["median_seconds"], own["peak_memory_bytes"] / 1e9
                cells = [f"{step:.1f}", *map(str, counts), f"{peak:.2f}"]
            title = network["title"].partition(",")[0]
            lines.append("| " + " | ".join([f"{title}, {method}", *cells]) + " |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Carry out a part in this process."""
    name, device, tiny, data, folder = words
    place = Place(torch.device(device), tiny == "True", Path(data), Path(folder))
    prepare_process({"threads": None, "determinism": "warn", "device": device})
    work, _ = PARTS[name]
    work(place, lambda found: write_json(place.folder / FOUND, found))


if __name__ == "__main__":
    main(sys.argv[1:])
