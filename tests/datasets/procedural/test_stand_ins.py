"""Procedural pictures in the files of CIFAR-100 and CelebA."""

import numpy as np
import pytest

from mtl_bench.datasets.celeba.files import NAMES
from mtl_bench.datasets.cifar100.archive import read_parts
from mtl_bench.datasets.procedural import marks, objects

SYNTH = {
    "objects": lambda folder, seed: objects.synth(folder, 5, 5, seed, report=lambda line: None),
    "marks": lambda folder, seed: marks.synth(folder, 4, 2, 2, seed, report=lambda line: None),
}


@pytest.mark.parametrize("name", SYNTH)
def test_files_are_a_function_of_the_seed(name, tmp_path):
    written = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        SYNTH[name](tmp_path / folder, seed)
        files = sorted(path for path in (tmp_path / folder).iterdir() if path.suffix != ".json")
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1] != written[2]


def test_objects_have_pictures_of_every_class(tmp_path):
    SYNTH["objects"](tmp_path / "cifar100", 0)
    for part in read_parts(tmp_path / "cifar100").values():
        assert np.bincount(part.classes_N, minlength=100).tolist() == [1] * 100


def test_classes_of_a_task_differ_in_their_shape_and_tasks_in_their_order():
    shapes = {}
    for superclass in range(20):
        five = [
            objects.draw(superclass, np.array([rank]), np.random.default_rng(7))[0]
            for rank in range(5)
        ]
        # the same place, colours and noise: two pictures differ where one of two shapes is
        for first in range(5):
            for second in range(first):
                assert (five[first] != five[second]).any(axis=0).sum() > 20
        unlike = [[int((a != b).any(axis=0).sum()) for b in five] for a in five]
        shapes[superclass] = str(unlike)
    assert len(set(shapes.values())) > 5


def test_every_mark_is_seen_in_its_own_place():
    for number in range(len(NAMES)):
        picture = marks.draw_picture(np.arange(len(NAMES)) == number, np.random.default_rng(number))
        far = np.abs(picture - np.median(picture, axis=(0, 1))).max(axis=2) > 60
        rows, columns = np.nonzero(far)
        assert far.sum() > 100
        row, column = divmod(number, marks.COLUMNS)
        assert abs(rows.mean() / marks.HEIGHT * marks.ROWS - row - 0.5) < 0.5
        assert abs(columns.mean() / marks.WIDTH * marks.COLUMNS - column - 0.5) < 0.5


def test_attributes_are_unequally_frequent_and_depend_on_each_other():
    attributes = marks.draw_attributes(4000, np.random.default_rng(0))
    rates = attributes.mean(axis=0)
    assert rates.min() > 0.05
    assert rates.max() < 0.95
    assert np.ptp(rates) > 0.3
    correlations = np.corrcoef(attributes.T) - np.eye(len(NAMES))
    assert np.abs(correlations).max() > 0.3
