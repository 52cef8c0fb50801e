"""Procedural streets: the same from the same seed, complete, and consistent pixel by pixel."""

import numpy as np
import pytest

from mtl_bench.datasets.cityscapes import Cityscapes
from mtl_bench.datasets.cityscapes.labels import LABELS, class_table
from mtl_bench.datasets.cityscapes.prepare import verify
from mtl_bench.datasets.procedural.streets.synth import make_frame, synth
from mtl_bench.errors import DataError

SIZE = (64, 128)
FRAMES = 24


@pytest.fixture(scope="module")
def frames():
    return [make_frame(0, "train", index, SIZE) for index in range(FRAMES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "cityscapes"
    synth(folder, 5, 2, *SIZE, jobs=2, report=lambda line: None)
    return folder


def test_a_frame_is_a_function_of_seed_part_and_number(frames):
    again = make_frame(0, "train", 3, SIZE)
    assert all(np.array_equal(a, b) for a, b in zip(frames[3], again, strict=True))
    for other in (make_frame(1, "train", 3, SIZE), make_frame(0, "val", 3, SIZE), frames[4]):
        assert not np.array_equal(frames[3].image, other.image)


def test_types_and_shapes_are_the_official_ones(frames):
    image, labels, instances, disparity = frames[0]
    assert (image.shape, image.dtype) == ((*SIZE, 3), np.uint8)
    assert (labels.shape, labels.dtype) == (SIZE, np.uint8)
    assert (instances.shape, instances.dtype) == (SIZE, np.uint16)
    assert (disparity.shape, disparity.dtype) == (SIZE, np.uint16)


def test_all_classes_appear_in_a_few_frames(frames):
    seen = np.bincount(
        np.concatenate([np.unique(class_table(19)[frame.labels]) for frame in frames]),
        minlength=251,
    )
    assert (seen[:19] >= 2).all()
    assert seen[250] == FRAMES  # the own car and the picture's edge are void


def test_every_pixel_has_the_instance_of_its_label(frames):
    for frame in frames:
        labels = frame.labels.astype(int)
        instances = frame.instances.astype(int)
        assert (np.where(instances < 1000, instances, instances // 1000) == labels).all()
        assert (labels[instances >= 1000] >= 24).all()
    numbers = np.unique(np.concatenate([np.unique(frame.instances) for frame in frames]))
    assert set(range(24, 34)) & set(numbers.tolist())  # groups
    assert {label for label in LABELS if label >= 24} <= set((numbers // 1000).tolist())


def test_disparity_falls_with_the_distance_of_the_road(frames):
    """On flat ground it is a linear function of the row, the same slope in every frame."""
    for frame in frames:
        rows, columns = np.nonzero((frame.labels == 7) & (frame.disparity > 0))
        pixels = (frame.disparity[rows, columns] - 1) / 256
        slope, horizon = np.polyfit(rows, pixels, 1)
        residual = pixels - (slope * rows + horizon)
        assert np.abs(residual).max() < 1.5
        assert 0.38 < (-horizon / slope) / SIZE[0] < 0.48  # zero at the horizon


def test_sky_and_own_car_have_no_disparity(frames):
    for frame in frames:
        assert not frame.disparity[(frame.labels == 23) | (frame.labels == 1)].any()
        share = (frame.disparity > 0).mean()
        assert 0.3 < share < 0.95


def test_what_hides_another_thing_is_nearer(frames):
    """Where a car ends on something behind it, the disparity steps down or stays."""
    falls = rises = 0
    for frame in frames:
        things = frame.instances >= 1000
        edge = things[:, :-1] & ~things[:, 1:] & np.isin(frame.labels[:, 1:], (11, 21, 7, 8))
        left, right = frame.disparity[:, :-1][edge], frame.disparity[:, 1:][edge]
        valid = (left > 0) & (right > 0)
        falls += (left[valid] + 256 >= right[valid]).sum()
        rises += (left[valid] + 256 < right[valid]).sum()
    assert falls > 20 * rises


def test_the_files_are_those_of_the_official_packages(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        *("disparity", "gtFine", "leftImg8bit", "procedural.json")
    ]
    assert (folder / "leftImg8bit/train/ostervik/ostervik_000000_000019_leftImg8bit.png").is_file()
    fine = folder / "gtFine/val/hohenfurt"
    assert sorted(path.name for path in fine.iterdir()) == [
        "hohenfurt_000000_000019_gtFine_instanceIds.png",
        "hohenfurt_000000_000019_gtFine_labelIds.png",
    ]
    assert verify(folder, jobs=1) == []


def test_the_data_set_reads_them_and_says_what_they_are(folder):
    data = Cityscapes(str(folder), seed=0, batch_size=2)
    assert data.origin["kind"] == "procedural"
    assert data.origin["source"].startswith("procedural streets, version ")
    batch = next(data.train_batches(1))
    assert batch.images_BCHW.shape == (2, 3, 16, 32)
    assert (len(data.splits["train"]), len(data.splits["test"])) == (5, 2)


def test_processes_do_not_change_the_files(folder, tmp_path):
    synth(tmp_path / "cityscapes", 5, 2, *SIZE, jobs=1, report=lambda line: None)
    for path in folder.rglob("*.*"):
        assert (
            path.read_bytes() == (tmp_path / "cityscapes" / path.relative_to(folder)).read_bytes()
        )


def test_the_same_again_is_not_made_and_another_one_replaces_it(tmp_path):
    folder, lines = tmp_path / "cityscapes", []
    synth(folder, 2, 1, 32, 64, jobs=1, report=lines.append)
    synth(folder, 2, 1, 32, 64, jobs=1, report=lines.append)
    assert lines[-1] == f"these streets are already in {folder}"
    synth(folder, 1, 1, 32, 64, jobs=1, report=lines.append)
    assert len(list((folder / "leftImg8bit" / "train").rglob("*.png"))) == 1


def test_real_data_are_never_replaced(tmp_path):
    folder = tmp_path / "cityscapes"
    image = folder / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"precious")
    with pytest.raises(DataError, match="move them away"):
        synth(folder, 1, 1, 32, 64, report=lambda line: None)
    assert image.read_bytes() == b"precious"
