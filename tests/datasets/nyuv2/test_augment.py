"""The augmentation against a plain one, pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
import torch

from mtl_bench.datasets.nyuv2.augment import Augmentation, augment, crop_size, draw
from tests.datasets.nyuv2.folder import random_frame


def frame_of(seed, height=12, width=16):
    values = random_frame(np.random.default_rng(seed), height, width)
    return {
        part: torch.from_numpy(v.reshape(height, width, -1).transpose(2, 0, 1).copy()).float()
        for part, v in values.items()
    }


def pixel(crop, row, column, smooth):
    """The value at a fractional place of a crop (C, rows, columns)."""
    if not smooth:
        return crop[:, int(row), int(column)]
    top, left = min(int(row), crop.shape[1] - 2), min(int(column), crop.shape[2] - 2)
    down, right = row - top, column - left
    upper = (1 - right) * crop[:, top, left] + right * crop[:, top, left + 1]
    lower = (1 - right) * crop[:, top + 1, left] + right * crop[:, top + 1, left + 1]
    return (1 - down) * upper + down * lower


def plainly(frame, scale, top, left, flip):
    _, height, width = frame["image"].shape
    rows, columns = int(height / scale), int(width / scale)
    result = {}
    for part, values in frame.items():
        crop = values.numpy().astype(float)[:, top : top + rows, left : left + columns]
        smooth = part in ("image", "normal")
        out = np.empty((len(crop), height, width))
        for i in range(height):
            for j in range(width):
                if smooth:
                    place = i * (rows - 1) / (height - 1), j * (columns - 1) / (width - 1)
                else:
                    place = i * rows // height, j * columns // width
                out[:, i, width - 1 - j if flip else j] = pixel(crop, *place, smooth)
        result[part] = out
    result["depth"] /= scale
    if flip:
        result["normal"][0] *= -1
    return result


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("scale", "top", "left"), [(1.0, 0, 0), (1.2, 2, 1), (1.5, 4, 6), (1.5, 0, 3)]
)
def test_augmentation_is_the_plain_one(scale, top, left, flip):
    frame = frame_of(3)
    expected = plainly(frame, scale, top, left, flip)
    found = augment(frame, Augmentation(scale, top, left, flip))
    for part, values in expected.items():
        assert found[part].shape == frame[part].shape
        np.testing.assert_allclose(found[part], values, atol=2e-6, err_msg=part)


def test_nothing_drawn_changes_nothing():
    frame = frame_of(4)
    for part, values in augment(frame, Augmentation(1.0, 0, 0, False)).items():
        assert torch.equal(values, frame[part])


def test_a_flip_negates_the_first_component_of_normals_only():
    frame = frame_of(5)
    flipped = augment(frame, Augmentation(1.0, 0, 0, True))
    signs = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert torch.equal(flipped["normal"], (frame["normal"] * signs).flip(2))
    for part in ("image", "label", "depth"):
        assert torch.equal(flipped[part], frame[part].flip(2))


@pytest.mark.parametrize("scale", [1.2, 1.5])
def test_depth_shrinks_by_the_scale_and_stays_invalid(scale):
    frame = frame_of(6)
    rows, columns = crop_size(12, 16, scale)
    found = augment(frame, Augmentation(scale, 0, 0, False))["depth"]
    assert set(found.unique().tolist()) <= set(
        (frame["depth"][:, :rows, :columns] / scale).unique().tolist()
    )
    assert (found[:, 0] == 0).all()


def test_what_was_given_is_left_alone():
    frame = frame_of(7)
    before = {part: values.clone() for part, values in frame.items()}
    augment(frame, Augmentation(1.5, 2, 3, True))
    for part, values in before.items():
        assert torch.equal(frame[part], values)


def test_draws_are_uniform_over_scales_places_and_flips():
    generator = np.random.default_rng(0)
    draws = [draw(generator, 288, 384) for _ in range(6000)]
    scales = Counter(d.scale for d in draws)
    assert set(scales) == {1.0, 1.2, 1.5}
    assert all(1850 < count < 2150 for count in scales.values())
    assert 2800 < sum(d.flip for d in draws) < 3200
    large = [d for d in draws if d.scale == 1.5]
    assert crop_size(288, 384, 1.5) == (192, 256)
    assert {min(d.top for d in large), max(d.top for d in large)} == {0, 96}
    assert {min(d.left for d in large), max(d.left for d in large)} == {0, 128}
    assert all(d.top == d.left == 0 for d in draws if d.scale == 1.0)
