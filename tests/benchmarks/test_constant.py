"""The constant predictor against NumPy."""

import numpy as np
import pytest

from benchmarks.constant import Constant, measure, render
from mtl_bench import build_dataset
from mtl_bench.datasets.nyuv2.prepare import synth
from mtl_bench.errors import DataError


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    synth(data / "nyuv2", 240, 60, 32, 32, report=lambda line: None)
    return data


def stacked(batches, task):
    return np.concatenate([batch.targets[task].numpy() for batch in batches])


@pytest.mark.nightly
def test_it_predicts_the_mean_of_the_valid_labels_of_the_training_set(rooms):
    data = build_dataset("nyuv2", profile="mini", data=str(rooms), augment=False)
    train = list(data.train_batches(1))
    batch = next(iter(data.evaluation_batches("test")))
    predictions = Constant(data)(batch)
    depth = stacked(train, "depth")
    np.testing.assert_allclose(predictions["depth"], depth[depth != 0].mean(), rtol=1e-5)
    classes = stacked(train, "segmentation")
    most = np.bincount(classes[classes >= 0]).argmax()
    assert (predictions["segmentation"].argmax(1) == most).all()
    normals = stacked(train, "normal").transpose(0, 2, 3, 1).reshape(-1, 3)
    mean = normals[(normals != 0).any(1)].mean(0)
    np.testing.assert_allclose(
        predictions["normal"][0, :, 0, 0], mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-5
    )
    assert predictions["normal"].shape == batch.targets["normal"].shape


@pytest.mark.nightly
def test_it_is_measured_on_what_is_there(rooms, tmp_path):
    result = measure(rooms)
    assert list(result["metrics"]) == ["nyuv2, procedural"]
    shown = render(result)
    assert "nyuv2, procedural: depth: abs_err" in shown
    assert "left out: cityscapes: " in shown
    with pytest.raises(DataError, match="nyuv2 is not in"):
        measure(tmp_path)
