"""Figures of runs with several components, whose score is a mean over environments."""

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from matplotlib.figure import Figure

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.drawing import style
from mtl_bench.reporting.figures.command import FIGURES
from mtl_bench.reporting.figures.context import CannotDrawError, FigureContext, find_scenes
from tests.records.control import COMPONENTS, EPOCHS, TASKS, write_control

NEAR = {"ls": (1.0, 0.6), "pcgrad": (0.8, 0.8)}


@pytest.fixture
def scene(tmp_path: Path) -> FigureContext:
    for label, found in NEAR.items():
        for seed, near in enumerate(found):
            write_control(tmp_path, label, seed, near, 0.5)
    (found,) = find_scenes(find_records(tmp_path), None)
    return found


def draw(name: str, scene: FigureContext) -> Figure:
    with style():
        figure = FIGURES[name](scene).figure
        figure.draw_without_rendering()
    return figure


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_the_score_rises_over_environment_steps_and_cpu_minutes(scene):
    figure = draw("score", scene)
    steps, minutes = figure.axes
    assert (steps.get_xlabel(), minutes.get_xlabel()) == ("environment steps", "CPU minutes")
    assert steps.get_ylabel() == "test success ↑"
    shares = np.arange(1, EPOCHS + 1) / EPOCHS
    for line, twin, found in zip(steps.lines, minutes.lines, NEAR.values(), strict=True):
        assert list(line.get_xdata()) == [100.0, 200.0, 300.0, 400.0]
        assert line.get_ydata() == pytest.approx((fmean(found) + 0.5) / 2 * shares)
        assert twin.get_xdata() == pytest.approx(30.5 / 60 * np.arange(1, EPOCHS + 1))
        assert list(twin.get_ydata()) == list(line.get_ydata())
    band = steps.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((fmean(NEAR["ls"]) + 0.5) / 2 + stdev(NEAR["ls"]) / 2)


def test_the_curves_have_a_panel_for_the_losses_of_each_component(scene):
    figure = draw("curves", scene)
    losses = [f"{task}, {component}: loss ↓" for component in COMPONENTS for task in TASKS]
    metrics = [f"{task} {metric} ↑" for task in TASKS for metric in ("success", "return")]
    assert titles(figure) == [*losses, *metrics]
    assert list(figure.axes[0].lines[0].get_xdata()) == [100.0, 200.0, 300.0, 400.0]


def test_gradients_and_weights_are_those_of_each_component(scene):
    named = [t for t in titles(draw("gradients", scene)) if "norms" in t]
    assert named == [f"pcgrad {component}: norms ‖gₜ‖" for component in COMPONENTS]
    assert titles(draw("figure4", scene)) == ["pcgrad critic, n\u00a0=\u00a02"]


def test_the_cost_is_against_success(scene):
    (axes,) = draw("cost", scene).axes
    assert axes.get_ylabel() == "success ↑"
    assert axes.get_xlabel().startswith("training time of an epoch")


def test_ranks_are_by_success_alone(scene):
    figure = draw("ranking", scene)
    assert "Mean rank over 2 metrics" in " ".join(t.get_text() for t in figure.findobj(match=_text))


def test_without_a_score_of_the_epochs_there_is_no_curve(tmp_path):
    path = write_control(tmp_path, "ls", 0, done=False)
    (path / "metrics.jsonl").write_text('{"epoch": 1}\n')
    write_control(tmp_path, "ls", 1)
    (scene,) = find_scenes(find_records(tmp_path), None)
    path = scene.runs["ls"][0].record.path
    (path / "metrics.jsonl").write_text('{"epoch": 1, "success_test": null}\n')
    with pytest.raises(CannotDrawError, match="no record has success of its epochs"):
        FIGURES["score"](scene)


def _text(artist: object) -> bool:
    return hasattr(artist, "get_text")
