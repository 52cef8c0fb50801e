"""A task that is forced to explode, drawn from records."""

import numpy as np
import pytest
from matplotlib.text import Text

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.drawing import style
from mtl_bench.reporting.figures.command import FIGURES
from mtl_bench.reporting.figures.context import CannotDrawError, find_scenes
from tests.records.control import EPOCHS, explode, write_control

DISTURBED = {
    "algorithm": {
        "random_episodes": 2,
        "disturbance": {"task": "far", "update": 50, "factor": 30},
    },
    "dataset": {"horizon": 10, "copies": 4},
}


def draw(results):
    (scene,) = find_scenes(find_records(results), None)
    with style():
        drawing = FIGURES["explosion"](scene)
        drawing.figure.draw_without_rendering()
    return drawing


@pytest.fixture
def results(tmp_path):
    for seed in (0, 1):
        write_control(tmp_path, "ls-reset", seed, 1.0, 0.8 + 0.2 * seed, settings=DISTURBED)
        write_control(tmp_path, "ls-mask", seed, 1.0, 0.0, settings=DISTURBED)
        explode(write_control(tmp_path, "ls-vanilla", seed, settings=DISTURBED, done=False))
    write_control(tmp_path, "ls", 0)
    return tmp_path


def test_the_disturbed_task_and_the_others_have_a_panel_each(results):
    drawing = draw(results)
    disturbed, others = drawing.figure.axes
    assert disturbed.get_title(loc="left") == "far, disturbed"
    lines = {
        line.get_color(): line.get_ydata()
        for line in disturbed.lines
        if len(line.get_ydata()) == EPOCHS
    }
    ends = sorted(float(ys[-1]) for ys in lines.values())
    assert ends == pytest.approx([0.0, 0.5, 0.9])  # masked; vanilla; reset, the mean over seeds
    assert disturbed.collections  # bands
    assert all(ys[-1] == 1.0 for ys in (ln.get_ydata() for ln in others.lines) if len(ys) == EPOCHS)
    (line,) = (ln for ln in disturbed.lines if list(ln.get_ydata()) == [0, 1])
    assert line.get_xdata()[0] == (2 * 10 + 50) * 4


def test_runs_that_exploded_are_drawn_to_their_end_and_counted(results):
    drawing = draw(results)
    panel = drawing.figure.axes[0]
    crosses = [line for line in panel.lines if line.get_marker() == "x"]
    assert [float(np.ravel(cross.get_xdata())[0]) for cross in crosses] == [100.0 * EPOCHS] * 2
    (legend,) = (legend for part in drawing.figure.subfigs for legend in part.legends)
    texts = sorted(text.get_text() for text in legend.get_texts())
    assert texts == [
        "ls-mask (0 of 2 exploded)",
        "ls-reset (0 of 2 exploded)",
        "ls-vanilla (2 of 2 exploded)",
    ]
    assert not drawing.missing


def test_another_disturbance_is_left_out_and_said(results):
    other = {**DISTURBED["algorithm"], "disturbance": {"task": "near", "update": 5, "factor": 2}}
    settings = DISTURBED | {"algorithm": other}
    write_control(results, "ls-twice", 0, settings=settings)
    assert "another disturbance" in " ".join(draw(results).missing)


def test_without_a_disturbance_the_command_is_named(tmp_path):
    write_control(tmp_path, "ls", 0)
    with pytest.raises(CannotDrawError, match="experiment=paco_explosion"):
        draw(tmp_path)


def test_the_footer_names_the_networks_of_what_is_drawn(results):
    write_control(results, "ls-heads", 0, architecture="multihead")
    text = " ".join(text.get_text() for text in draw(results).figure.findobj(Text))
    assert "architecture mlp, " in " ".join(text.split())
