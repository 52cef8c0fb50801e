"""Samples equal those of the slow way: rotate, flip and compute everything, then resize."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl_bench.datasets.cityscapes.frames import Pixels
from mtl_bench.datasets.cityscapes.labels import class_table, instance_table
from mtl_bench.datasets.cityscapes.targets import RotationAndFlip, make_sample
from tests.datasets.cityscapes.raw import make_pixels

VOID_LABELS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
VALID_LABELS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
STUFF = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23)


def slow_sample(raw, angle, flip):
    """Image, labels, offsets and disparity by whole-picture operations in the published order."""

    def augmented(image, resample=Image.Resampling.NEAREST):
        array = np.asarray(image.rotate(angle, resample))
        return array[:, ::-1] if flip else array

    image = augmented(Image.fromarray(raw["image"]), Image.Resampling.BILINEAR)
    labels = augmented(Image.fromarray(raw["labels"]))
    instances = augmented(Image.fromarray(raw["instances"].astype(np.int32)))
    disparity = augmented(Image.fromarray(raw["disparity"].astype(np.float32)))

    classes = np.full(labels.shape, 250)
    for number, label in enumerate(VALID_LABELS):
        classes[labels == label] = number
    offsets = np.full((2, *labels.shape), 250.0)
    for instance in np.unique(instances):
        mask = (instances == instance) & (classes != 250)
        if instance in STUFF or instance == 0 or not mask.any():
            continue
        rows, columns = np.nonzero(mask)
        offsets[0][mask] = rows - rows.mean()
        offsets[1][mask] = columns - columns.mean()

    bgr = image[:, :, ::-1].astype(np.float64) - np.array([123.675, 116.28, 103.53])
    batch = torch.from_numpy(bgr.copy()).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(batch, scale_factor=0.25, mode="bilinear")
    return (
        small[0].numpy() / 255,
        classes[::32, ::32],
        offsets[:, ::32, ::32],
        disparity[::32, ::32] / 2729.0680031169923,
    )


def as_pixels(raw):
    """What the reader makes of the four planes, written another way."""
    void = np.isin(raw["labels"], VOID_LABELS)
    stuff = np.isin(raw["instances"], STUFF)
    instances = np.where(void | stuff, 0, raw["instances"]).astype(np.uint16)
    return Pixels(raw["image"], raw["labels"], instances, raw["disparity"])


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 20),
    angle=st.floats(-10, 10, allow_nan=False).filter(lambda angle: abs(angle) > 1e-3)
    | st.just(0.0),
    flip=st.booleans(),
)
def test_a_sample_is_that_of_the_slow_way(number, angle, flip):
    raw = make_pixels(number)
    image, classes, offsets, disparity = slow_sample(raw, angle, flip)
    sample = make_sample(as_pixels(raw), RotationAndFlip(angle, flip), class_table(19))
    np.testing.assert_array_equal(sample.labels_hw, classes)
    np.testing.assert_allclose(sample.instance_2hw, offsets, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(sample.disparity_1hw[0], disparity, rtol=1e-6)
    errors = np.abs(sample.image_CPQ.numpy() - image)
    # Pillow truncates to whole numbers; a last bit may tip one of the four pixels averaged
    assert errors.max() < 1.01 * 0.25 / 255
    assert (errors > 1e-6).mean() < 1e-3


def test_shapes_and_types():
    sample = make_sample(as_pixels(make_pixels(0)), RotationAndFlip(), class_table(19))
    assert [(tuple(part.shape), part.dtype) for part in sample] == [
        ((3, 32, 64), torch.float32),
        ((4, 8), torch.int64),
        ((2, 4, 8), torch.float32),
        ((1, 4, 8), torch.float32),
    ]


def test_bilinear_to_a_quarter_is_opencvs():
    """The right side is what cv2.resize of OpenCV 5.0 gave for this array."""
    plane = (np.arange(96).reshape(8, 12) ** 2 % 251).astype(np.uint8)
    raw = Pixels(
        np.repeat(plane[..., None], 3, axis=2), plane, plane.astype(np.uint16), plane.astype("u2")
    )
    image = make_sample(raw, RotationAndFlip(), class_table(19)).image_CPQ
    red = image[2].numpy() * 255 + 103.53
    np.testing.assert_allclose(red, [[165.5, 86.5, 165.0], [137.25, 128.5, 151.75]], rtol=1e-5)


def test_nearest_to_a_thirty_second_is_opencvs():
    """cv2.resize of OpenCV 5.0 takes the pixels at (32i, 32j)."""
    plane = np.arange(64 * 96).reshape(64, 96).astype(np.uint16)
    blank = np.zeros(plane.shape, np.uint8)
    raw = Pixels(np.zeros((64, 96, 3), np.uint8), blank, np.zeros_like(plane), plane)
    disparity = make_sample(raw, RotationAndFlip(), class_table(19)).disparity_1hw[0]
    expected = [[0.0, 32.0, 64.0], [3072.0, 3104.0, 3136.0]]
    np.testing.assert_allclose(disparity * 2729.0680031169923, expected, rtol=1e-6)


def test_disparity_of_nothing_and_of_infinity():
    sample = make_sample(as_pixels(make_pixels(3)), RotationAndFlip(), class_table(19))
    assert sample.disparity_1hw[0, 2, 2] == 0
    assert sample.disparity_1hw[0, 1, 2] == pytest.approx(1 / 2729.0680031169923)


def test_nineteen_classes_are_the_benchmarks_and_all_else_is_void():
    table = class_table(19)
    assert [int(table[label]) for label in VALID_LABELS] == list(range(19))
    others = [label for label in range(256) if label not in VALID_LABELS]
    assert (table[others] == 250).all()


def test_seven_classes_are_the_categories():
    table = class_table(7)
    categories = [(7, 8), (11, 12, 13), (17, 19, 20), (21, 22), (23,), (24, 25)]
    categories.append((26, 27, 28, 31, 32, 33))
    for category, labels in enumerate(categories):
        assert (table[list(labels)] == category).all()
    assert (table[list(VOID_LABELS)] == 250).all()


def test_groups_are_instances_and_stuff_is_not():
    table = instance_table()
    assert table[[24, 26, 33, 24000, 33012]].all()
    assert not table[[0, *STUFF]].any()
