"""The data set on the folders of the official packages, in miniature."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_bench.datasets.cityscapes import Cityscapes
from mtl_bench.datasets.cityscapes.dataset import draw_augmentation
from mtl_bench.datasets.cityscapes.prepare import prepare
from mtl_bench.errors import DataError
from tests.datasets.cityscapes.raw import TRAIN, VAL, make_pixels, write_raw


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("data") / "cityscapes")


@pytest.fixture
def raw(untouched, tmp_path):
    return Path(shutil.copytree(untouched, tmp_path / "cityscapes"))


def build(folder, **fields):
    return Cityscapes(str(folder), seed=0, **({"batch_size": 2} | fields))


def plain(batches):
    return [(batch.images_BCHW, *batch.targets.values()) for batch in batches]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_frames_are_sorted_and_the_official_validation_frames_test(untouched):
    data = build(untouched)
    names = {split: list(map(data.name_of, numbers)) for split, numbers in data.splits.items()}
    assert names == {
        "train": [f"train/{name}" for name in TRAIN],
        "test": [f"val/{name}" for name in VAL],
    }
    assert not data.has_validation
    assert (data.height, data.width) == (128, 256)
    assert data.origin["kind"] == "real"
    assert [task.name for task in data.tasks] == list(data.task_names)


def test_batches_have_the_documented_shapes_and_an_incomplete_one_is_dropped(untouched):
    data = build(untouched)
    batches = list(data.train_batches(1))
    assert len(batches) == data.steps_per_epoch == 1
    targets = batches[0].targets
    assert batches[0].images_BCHW.shape == (2, 3, 32, 64)
    assert targets["segmentation"].shape == (2, 4, 8)
    assert targets["instance"].shape == (2, 2, 4, 8)
    assert targets["disparity"].shape == (2, 1, 4, 8)


def test_an_evaluation_sees_every_frame_as_it_is(untouched):
    batches = list(build(untouched, eval_batch_size=1).evaluation_batches("test"))
    assert len(batches) == 2
    for number, batch in enumerate(batches, start=len(TRAIN)):
        stored = make_pixels(number)["disparity"][::32, ::32] / 2729.0680031169923
        np.testing.assert_allclose(batch.targets["disparity"][0, 0], stored, rtol=1e-6)


def test_seven_classes(untouched):
    def classes(number):
        batch = next(build(untouched, classes=number).evaluation_batches("test"))
        return batch.targets["segmentation"]

    category = torch.full((256,), 250)
    category[:19] = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6])
    assert torch.equal(classes(7), category[classes(19)])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(untouched, workers):
    data = build(untouched, batch_size=1)
    assert same(plain(data.train_batches(4)), plain(data.train_batches(4, workers=workers)))


def test_an_epoch_goes_on_in_its_middle(untouched):
    data = build(untouched, batch_size=1)
    assert same(plain(data.train_batches(2))[2:], plain(data.train_batches(2, start=2)))
    assert not plain(data.train_batches(2, start=3))


def test_seed_and_epoch_change_order_and_augmentation(untouched):
    data = build(untouched, batch_size=3)
    other = Cityscapes(str(untouched), seed=1, batch_size=3)
    first = plain(data.train_batches(1))
    assert same(first, plain(build(untouched, batch_size=3).train_batches(1)))
    assert not same(first, plain(data.train_batches(2)))
    assert not same(first, plain(other.train_batches(1)))


def test_augmentation_is_uniform_within_ten_degrees():
    drawn = [draw_augmentation(0, 1, str(frame)) for frame in range(4000)]
    angles = np.array([augmentation.angle for augmentation in drawn])
    counts = np.histogram(angles, bins=10, range=(-10, 10))[0]
    assert counts.sum() == 4000
    assert abs(counts - 400).max() < 5 * np.sqrt(400)
    assert abs(np.mean([augmentation.flip for augmentation in drawn]) - 0.5) < 0.04


def test_without_augmentation_training_frames_are_as_they_are(untouched):
    data = build(untouched, batch_size=1, augment=False)
    assert same(plain(data.train_batches(1, start=1)), plain(data.train_batches(1))[1:])
    images = {batch.images_BCHW.sum().item() for batch in data.train_batches(1)}
    assert images == {batch.images_BCHW.sum().item() for batch in data.train_batches(2)}


def test_held_out_frames_validate_and_do_not_train(untouched):
    data = build(untouched, holdout=1)
    validating, training = data.splits["validation"], data.splits["train"]
    assert len(validating) == 1
    assert sorted([*validating, *training]) == build(untouched).splits["train"].tolist()


def test_a_smaller_set_is_spread_over_the_cities(untouched):
    assert build(untouched, train_size=2).splits["train"].tolist() == [0, 1]
    images = untouched / "leftImg8bit"
    with pytest.raises(DataError, match=rf"test_size=3 is more than the 2 frames of {images}/val$"):
        build(untouched, test_size=3)
    with pytest.raises(DataError, match=rf"train_size=4 .* the 3 frames of {images}/train$"):
        build(untouched, train_size=4)
    left = rf"the 1 frames that dataset\.holdout=2 leaves of {images}/train$"
    with pytest.raises(DataError, match=rf"^dataset\.train_size=3 is more than {left}"):
        build(untouched, train_size=3, holdout=2)
    with pytest.raises(DataError, match="3 samples are left to train on, too few"):
        build(untouched, batch_size=4)


def test_missing_data_names_both_ways_to_get_it(tmp_path):
    with pytest.raises(DataError) as caught:
        build(tmp_path / "cityscapes")
    for part in (
        "leftImg8bit_trainvaltest.zip",
        "gtFine_trainvaltest.zip",
        "disparity_trainvaltest.zip",
        "https://www.cityscapes-dataset.com",
        f"mtl-bench data synth cityscapes paths.data={tmp_path}",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


NAME = TRAIN[1]
FAULTS = {
    "no disparity": (f"disparity/train/{NAME}_disparity.png", None, "is missing"),
    "cut short": (f"leftImg8bit/train/{NAME}_leftImg8bit.png", 1000, "is cut short"),
    "empty": (f"gtFine/train/{NAME}_gtFine_labelIds.png", 0, "is not a PNG file"),
    "colour": (
        f"gtFine/train/{NAME}_gtFine_labelIds.png",
        Image.new("RGB", (256, 128)),
        "must be 8-bit grey",
    ),
    "bits": (
        f"gtFine/train/{NAME}_gtFine_instanceIds.png",
        Image.new("L", (256, 128)),
        "must be 16-bit grey",
    ),
    "size": (
        f"disparity/train/{NAME}_disparity.png",
        Image.new("I;16", (128, 64)),
        "128 x 64 pixels, others have 256 x 128",
    ),
}


def damage(folder, fault):
    name, content, message = FAULTS[fault]
    path = folder / name
    if content is None:
        path.unlink()
    elif isinstance(content, int):
        path.write_bytes(path.read_bytes()[:content])
    else:
        content.save(path)
    return path, message


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_is_named_before_training(raw, fault):
    path, message = damage(raw, fault)
    with pytest.raises(DataError, match=message) as caught:
        build(raw)
    assert str(path) in str(caught.value)
    assert "mtl-bench data verify cityscapes" in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_decoded_is_named_in_one_line(raw, workers):
    path = raw / f"disparity/train/{NAME}_disparity.png"
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(len(content) - 400) + content[-200:])
    with pytest.raises(DataError, match=r"can't be decoded") as caught:
        list(build(raw, batch_size=3).train_batches(1, workers=workers))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_that_cannot_be_sampled_are_refused(raw):
    for path in raw.rglob("*.png"):
        with Image.open(path) as image:
            smaller = image.crop((0, 0, 250, 128))
        smaller.save(path)
    with pytest.raises(DataError, match=r"250 x 128 pixels; both must be multiples of 32"):
        build(raw)


def test_decoded_copies_give_the_same_batches_until_a_file_changes(raw):
    data = build(raw, batch_size=3)
    before = plain(data.train_batches(1))
    lines = []
    prepare(raw, decoded=True, jobs=1, report=lines.append)
    assert "decoding 5 frames" in lines[1]
    assert same(before, plain(data.train_batches(1)))

    frame = data.store.frames[data.splits["train"][0]]
    os.utime(frame.path("labels"), ns=(2**62, 2**62))
    prepare(raw, decoded=True, jobs=1, report=lines.append)
    assert lines[-1] == "5 of 5 frames, 1 copies written"


def test_copies_are_what_is_read(raw):
    """Else the test above would pass without them."""
    prepare(raw, decoded=True, jobs=1, report=lambda line: None)
    data = build(raw)
    copy = data.store.frames[data.splits["test"][0]].decoded
    joined = np.load(copy)
    joined[:] = 0
    np.save(copy, joined)
    assert not next(data.evaluation_batches("test")).targets["disparity"][0].any()
