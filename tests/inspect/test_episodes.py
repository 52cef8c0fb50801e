"""Film strips of policies: what is drawn, and that it is the evaluation's first episode."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.environments.pendulum import PIXELS, ROD, Pendulum
from mtl_bench.errors import ConfigError
from mtl_bench.inspect.episodes import film, film_between
from mtl_bench.inspect.recorded_run import load_run
from mtl_bench.training.run import run
from tests.algorithms.mirror import mirror
from tests.algorithms.test_sac import SMALL


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    own = ("method=ls", "dataset.copies=1", "dataset.horizon=60", "algorithm.evaluation_rounds=1")
    return run(compose_config([*SMALL, *own, f"paths.results={results}"])).path


def red(picture_HW3):
    """Return the mean place of a rod's pixels, x to the right and y up."""
    rows, columns = np.nonzero((picture_HW3 == ROD).all(axis=2))
    return columns.mean() - PIXELS / 2, PIXELS / 2 - rows.mean()


def test_a_rod_is_drawn_where_it_is_and_as_long_as_it_is():
    suite = Pendulum(["standard", "long"], 2, 10, seed=0)
    suite.reset()
    reach = []
    with suite.camera() as look:
        for angle in (0.0, np.pi / 2, np.pi):
            suite._angle = np.full_like(suite._angle, angle)
            pictures = look()
            assert (pictures.shape, pictures.dtype) == ((2, PIXELS, PIXELS, 3), np.uint8)
            for picture in pictures:
                x, y = red(picture)
                reach.append(np.hypot(x, y))
                assert np.cos(np.arctan2(-x, y) - angle) > 0.99
    assert np.array(reach[1::2]) == pytest.approx(1.2 * np.array(reach[::2]), rel=0.1)


def test_the_strips_are_of_the_evaluation(record):
    strips = film(record, 4)
    line = (record / "metrics.jsonl").read_text().splitlines()[-1]
    told = json.loads(line)["test"]
    assert {strip.task: strip.total for strip in strips} == pytest.approx(
        {task: values["return"] for task, values in told.items()}, rel=1e-4
    )
    assert {s.task: float(s.success) for s in strips} == {t: v["success"] for t, v in told.items()}
    for strip in strips:
        assert strip.steps == (0, 20, 40, 60)
        assert strip.frames_FHW3.shape == (4, PIXELS, PIXELS, 3)
        assert (strip.frames_FHW3[0] != strip.frames_FHW3[1]).any()


def test_show_writes_the_episode(record, capsys):
    assert main(["show", str(record), "frames=3"]) == 0
    assert capsys.readouterr().out == f"{record / 'episode.png'}\n"
    assert (record / "episode.png").read_bytes().startswith(b"\x89PNG")


def test_policies_between_tasks_begin_as_the_tasks_own_does(tmp_path, capsys):
    own = ("ablation=paco", "architecture.sets=2", "dataset.horizon=60", "dataset.copies=1")
    made = run(compose_config([*SMALL, *own, "trainer.epochs=1", f"paths.results={tmp_path}"])).path
    strips = film_between(made, 3, "heavy")
    whole = {strip.task: strip for strip in film(made, 3)}
    names = [f"between {number + 1}" for number in range(len(whole))]
    assert [strip.task for strip in strips] == ["heavy", *names]
    assert np.array_equal(strips[0].frames_FHW3, whole["heavy"].frames_FHW3)
    assert strips[0].total == pytest.approx(whole["heavy"].total, rel=1e-5)
    for strip in strips[1:]:
        assert np.array_equal(strip.frames_FHW3[0], strips[0].frames_FHW3[0])
        assert strip.total != strips[0].total
    assert main(["show", str(made), "between=nowhere"]) == 2
    assert "between=nowhere: no task of the run; there are" in capsys.readouterr().err


def test_policies_that_are_not_composed_lie_on_no_circle(record):
    task = film(record, 2)[0].task
    with pytest.raises(ConfigError, match="only policies of two parameter sets"):
        film_between(record, 3, task)


def test_one_picture_is_no_episode(record, capsys):
    assert main(["show", str(record), "frames=1"]) == 2
    assert "frames=1: an episode needs two pictures" in capsys.readouterr().err


def test_environments_without_pictures_say_so():
    with (
        pytest.raises(ConfigError, match="Mirror has no pictures of its environments"),
        mirror(0).camera(),
    ):
        pass


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("metaworld") is None, reason="needs Meta-World")
def test_meta_world_is_rendered_without_a_display(tmp_path):
    config = compose_config(
        [
            *("dataset=metaworld", "dataset.tasks=[reach]", "method=ls", "profile=smoke"),
            *("logger.progress=off", "trainer.epochs=1", "dataset.horizon=4"),
            f"paths.results={tmp_path}",
        ]
    )
    record = run(config).path
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MUJOCO_GL")}
    words = [sys.executable, "-m", "mtl_bench", "show", str(record), "frames=2"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if "MuJoCo can't render here" in done.stderr:
        pytest.skip("no EGL here")
    assert (done.returncode, done.stderr) == (0, "")
    assert (record / "episode.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_are_still_of_samples(record):
    with pytest.raises(ConfigError, match="has environments and no samples"):
        load_run(record).predict()
