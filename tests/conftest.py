"""Fixtures that several rooms share."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from mtl_bench.datasets.procedural import marks, objects
from mtl_bench.datasets.procedural.rooms import synth as rooms
from mtl_bench.datasets.procedural.streets import synth as streets
from tests import synthetic_qm9
from tests.molecules import random_store

ROOT = Path(__file__).resolve().parents[1]

if os.environ.get("MTL_BENCH_TEST_CUDA") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same tests on a machine with a GPU as on another

# the same examples every time, however slow; --hypothesis-profile=default draws others
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Keep what thousands of tests are made of out of every later collection of garbage.

    Trainings collect garbage before they begin, which would take a second each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def qm9_data() -> Path:
    """Return the data folder that holds the real, prepared QM9."""
    if not (ROOT / "data" / "qm9" / "manifest.json").is_file():
        pytest.fail(f"QM9 is not prepared in {ROOT / 'data'}: run make data", pytrace=False)
    return ROOT / "data"


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the synthetic QM9."""
    return synthetic_qm9.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def mixed_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a synthetic QM9 whose molecules have three to six atoms."""
    sizes = np.random.default_rng(0).integers(3, 7, synthetic_qm9.MOLECULES)
    return synthetic_qm9.write(tmp_path_factory.mktemp("mixed"), **random_store(sizes).arrays)


@pytest.fixture(scope="session")
def small_data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with every data set at its smallest; all but molecules procedural."""
    data = tmp_path_factory.mktemp("small")
    (data / "qm9").symlink_to(tiny_data / "qm9")
    rooms.synth(data / "nyuv2", 5, 1, 32, 64, jobs=1, report=lambda line: None)
    streets.synth(data / "cityscapes", 6, 1, 64, 128, jobs=1, report=lambda line: None)
    objects.synth(data / "cifar100", 5, 5, report=lambda line: None)
    marks.synth(data / "celeba", 4, 2, 2, report=lambda line: None)
    return data
