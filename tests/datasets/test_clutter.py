"""Files that macOS and Windows leave in folders are no frames."""

import numpy as np
import pytest

from mtl_bench.datasets.cityscapes import Cityscapes
from mtl_bench.datasets.cityscapes.prepare import verify as verify_cityscapes
from mtl_bench.datasets.nyuv2 import NYUv2
from mtl_bench.datasets.nyuv2.prepare import synth as synth_rooms
from mtl_bench.datasets.nyuv2.prepare import verify as verify_nyuv2
from mtl_bench.datasets.procedural.streets.synth import synth as synth_streets
from mtl_bench.errors import DataError
from tests.datasets.cityscapes.raw import write_raw
from tests.datasets.nyuv2 import folder as nyuv2_folder


def litter(root):
    """Put into every folder what the systems leave there: a shadow of each file, and their own."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for path in list(folder.iterdir()):
            (folder / f"._{path.name}").write_bytes(b"\0\5\26\7")
        for name in (".DS_Store", "Thumbs.db"):
            (folder / name).write_bytes(b"\0")


def images_of(dataset):
    return np.concatenate([batch.images_BCHW for batch in dataset.evaluation_batches("test")])


@pytest.mark.parametrize(
    ("write", "kind", "verify"),
    [(nyuv2_folder.write, NYUv2, verify_nyuv2), (write_raw, Cityscapes, verify_cityscapes)],
    ids=["nyuv2", "cityscapes"],
)
def test_they_change_nothing(write, kind, verify, tmp_path):
    root = tmp_path / "data"
    write(root)
    before = kind(str(root), seed=0, batch_size=1)
    images = images_of(before)
    litter(root)
    after = kind(str(root), seed=0, batch_size=1)
    assert after.origin == before.origin
    assert after.steps_per_epoch == before.steps_per_epoch
    np.testing.assert_array_equal(images_of(after), images)
    assert verify(root) == []


@pytest.mark.parametrize("synth", [synth_rooms, synth_streets])
def test_a_folder_with_nothing_else_is_empty(synth, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    litter(root)
    synth(root, 1, 1, 32, 64, jobs=1, report=lambda line: None)
    litter(root)
    lines = []
    synth(root, 1, 1, 32, 64, jobs=1, report=lines.append)
    assert "already" in lines[0]


def test_files_of_somebody_are_kept(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "frame.png").write_bytes(b"")
    with pytest.raises(DataError, match="did not write"):
        synth_rooms(root, 1, 1, 32, 64, jobs=1, report=lambda line: None)
