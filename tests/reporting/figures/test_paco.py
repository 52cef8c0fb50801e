"""Compositions of PaCo from networks, and success over systems."""

import shutil

import numpy as np
import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.inspect.recorded_run import load_run
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.drawing import style
from mtl_bench.reporting.figures.command import FIGURES
from mtl_bench.reporting.figures.compositions import principal_components
from mtl_bench.reporting.figures.context import MOST_ROWS, CannotDrawError, find_scenes
from mtl_bench.training.run import run
from tests.algorithms.test_sac import SMALL
from tests.records.control import TASKS, write_control

SETS = (2, 3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for sets in SETS:
        own = ("ablation=paco", f"architecture.sets={sets}", f"variant=paco_{sets}")
        run(compose_config([*SMALL, *own, "trainer.epochs=1", f"paths.results={folder}"]))
    return folder


def draw(name, results):
    (scene,) = find_scenes(find_records(results), None)
    with style():
        drawing = FIGURES[name](scene)
        drawing.figure.draw_without_rendering()
    return drawing


def points(panel):
    """Return the places of the panel's markers."""
    lines = [line for line in panel.lines if line.get_marker() not in ("None", None, "")]
    return np.array([(line.get_xdata()[0], line.get_ydata()[0]) for line in lines])


def test_two_sets_are_on_the_circle_and_three_in_their_plane(results):
    circle, plane = draw("compositions", results).figure.axes
    rows = {
        record.label: load_run(record.path).load_network("last").actor.compositions[0]
        for record in find_records(results)
    }
    two, three = (rows[f"ls-paco_{sets}"].detach().numpy() for sets in SETS)
    assert "K\u00a0=\u00a02" in circle.get_title(loc="left")
    norms = np.linalg.norm(two, axis=1, keepdims=True)
    crosses, tasks = np.split(points(circle), [len(two)])
    np.testing.assert_allclose(tasks, two / norms, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(crosses, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(points(plane), principal_components(three)[0], rtol=1e-5)


def test_without_its_network_a_run_has_no_compositions(results, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    kept, lost = sorted(record.path for record in find_records(copy))
    shutil.rmtree(lost / "checkpoint")
    drawing = draw("compositions", copy)
    assert len(drawing.figure.axes) == 1
    assert "no checkpoint" in " ".join(drawing.missing)
    shutil.rmtree(kept / "checkpoint")
    with pytest.raises(CannotDrawError, match="no checkpoint"):
        draw("compositions", copy)


def test_components_keep_what_lies_in_a_plane():
    generator = np.random.default_rng(0)
    plane_2K, _ = np.linalg.qr(generator.normal(size=(6, 2)))
    flat = generator.normal(size=(10, 2)) * [3.0, 1.0]
    found, shares = principal_components(flat @ plane_2K.T + 5.0)

    def distances(rows):
        return np.linalg.norm(rows[:, None] - rows[None], axis=2)

    np.testing.assert_allclose(distances(found), distances(flat))
    assert shares.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    assert shares[0] == pytest.approx(found[:, 0].var() / found.var(axis=0).sum())


def test_equal_compositions_have_no_plane():
    found, shares = principal_components(np.ones((4, 3)))
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(shares, 0)


def test_the_map_has_the_success_of_every_task_and_their_mean(tmp_path):
    for seed, near in enumerate((1.0, 0.6)):
        write_control(tmp_path, "ls", seed, near, 0.5)
    write_control(tmp_path, "pcgrad", 0, 0.2, 0.0)
    axes, _ = draw("success", tmp_path).figure.axes
    values = axes.images[0].get_array()
    np.testing.assert_allclose(values, [[0.8, 0.5, 0.65], [0.2, 0.0, 0.1]])
    assert [t.get_text() for t in axes.get_xticklabels()] == [*TASKS, "mean"]
    assert [t.get_text() for t in axes.texts] == ["0.80", "0.50", "0.65", "0.20", "0.00", "0.10"]


def test_a_map_has_all_systems_however_many(tmp_path):
    names = ["ls", *(f"ls-v{number}" for number in range(MOST_ROWS + 1))]
    for name in names:
        write_control(tmp_path, name, 0)
    axes, _ = draw("success", tmp_path).figure.axes
    assert len(axes.get_yticklabels()) == len(names)
