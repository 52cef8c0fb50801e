"""Every figure from records of all kinds; the text of an SVG is searched as text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from mtl_bench.cli import main
from mtl_bench.records.reader import find_records
from mtl_bench.records.steps import StepLog
from mtl_bench.reporting.drawing import style
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.figures.command import FIGURES
from mtl_bench.reporting.figures.context import CannotDrawError, FigureContext, find_scenes
from mtl_bench.reporting.figures.ranking import rank_rows
from tests.records.synthetic import QM9, SCENE_TASKS, finish, unseal, write_record
from tests.reporting.figures.records import (
    METHODS,
    PROCEDURAL,
    WITH_GRAM,
    scene_values,
    write_run,
)

FORMS = ("png", "svg")
OF_METHODS = ("figure4", "score", "curves", "gradients", "cost", "ranking")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All methods on eleven tasks; on two tasks also both sweeps, with holes."""
    results = tmp_path_factory.mktemp("results")
    for method in METHODS:
        for seed in (0, 1):
            write_run(results, method, seed, qm9=True)
    for method in ("stl", "ls", "mgda", "taskforce"):
        for seed in (0, 1):
            write_run(results, method, seed, dataset="cityscapes", data=PROCEDURAL)
    for name in ("figure2", "figure3"):
        for index, line in enumerate(find_experiments()[name].lines):
            for seed in (0, 1) if index % 3 else (0,):
                if index != 3:
                    assert line.label
                    own = {"dataset": "cityscapes", "data": PROCEDURAL, "factor": 1.1}
                    write_run(results, line.label, seed, **own)
    return results


def scene_of(results: Path, dataset: str = "qm9", **chosen: object) -> FigureContext:
    records = find_records(results, dataset=dataset)
    (scene,) = find_scenes(records, None, **chosen)
    return scene


def draw(name: str, scene: FigureContext) -> Figure:
    with style():
        figure = FIGURES[name](scene).figure
        figure.draw_without_rendering()
    return figure


def texts_of(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def three_tasks() -> dict[str, dict[str, Any]]:
    return SCENE_TASKS | {"normals": SCENE_TASKS["depth"] | {"label": "Normals"}}


def shown_words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in texts_of(figure))


OF_IMAGES = [name for name in FIGURES if name not in ("success", "compositions", "explosion")]
"""The others are of environments, and of PaCo."""

SOME = ("figure2", "curves", "cost")
"""What is drawn twice: all are written in the same way."""

CASES = [(name, "qm9") for name in OF_METHODS] + [(name, "cityscapes") for name in OF_IMAGES]


@pytest.mark.parametrize(("name", "dataset"), CASES)
def test_no_text_is_cut_off_and_the_footer_says_what_the_numbers_mean(
    everything: Path, name: str, dataset: str
) -> None:
    figure = draw(name, scene_of(everything, dataset))
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert min(drawn.x0, drawn.y0) >= -0.01
    assert drawn.x1 <= page.x1 + 0.01
    assert drawn.y1 <= page.y1 + 0.01
    words = shown_words(figure)
    kind = "PROCEDURAL data (generator 1)" if dataset == "cityscapes" else "real data"
    for part in ("Profile mini", kind, "protocol nash", "selection best_val", "seeds 0, 1 (n"):
        assert part in words
    assert ("(procedural data)" in words) == (dataset == "cityscapes")


def test_the_same_records_give_the_same_bytes(everything: Path, tmp_path: Path) -> None:
    written = []
    for folder in ("one", "two"):
        paths = [f"paths.results={everything}", f"paths.figures={tmp_path / folder}"]
        assert main(["figures", *SOME, "dataset=cityscapes", *paths]) == 0
        written.append({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert set(written[0]) == {f"{name}_cityscapes.{form}" for name in SOME for form in FORMS}
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []


def test_the_grid_shows_numbers_seeds_and_holes(everything: Path) -> None:
    with style():
        drawing = FIGURES["figure2"](scene_of(everything, "cityscapes"))
    words = shown_words(drawing.figure)
    assert words.count("± 0.00 n = 2") == 10  # Δm of two seeds with the same metrics
    assert words.count("n = 1") == 5 + 1  # and "n = 1 to 2" below
    assert words.count("missing") == 1
    (text,) = drawing.missing
    assert "taskforce-noise_0.0_buffer_100000 (missing)" in text
    assert "-m experiment=figure2 seed=0,1 dataset=cityscapes profile=mini " in text


def test_the_speed_is_that_of_a_step_relative_to_every_step(tmp_path: Path) -> None:
    write_run(tmp_path, "stl", 0, factor=1.0)
    for every, seconds in ((1, 8.0), (2, 4.0), (50, 1.0)):
        epoch = {"train_epoch": seconds}
        write_run(tmp_path, f"taskforce-every_{every}", 0, factor=1.25, seconds=epoch)
    write_record(tmp_path, "taskforce-every_5", 0, done=False, epochs_done=3)
    write_run(tmp_path, "taskforce-every_10", 0, factor=1.5, device="cuda")
    words = shown_words(draw("figure3", scene_of(tmp_path)))
    for part in ("×1.00", "×2.00", "×8.00", "interrupted 3/30", "missing", "+50.00", "+25.00"):
        assert part in words
    assert words.count("×") == 3  # times of another device can't be compared


def test_constant_weights_are_named_and_the_others_have_a_panel(everything: Path) -> None:
    figure = draw("figure4", scene_of(everything))
    words = shown_words(figure)
    assert "constant weights are not shown: stl, ls, graddrop" in words
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    moving = [m for m in sorted(METHODS) if m not in ("stl", "ls", "graddrop", "taskforce")]
    assert titles == [f"{method}, n\u00a0=\u00a02" for method in [*moving, "taskforce"]]
    assert "± sample standard deviation at the end" in words


def test_a_panel_says_of_how_many_seeds_it_is(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, "taskforce", seed)
    write_run(tmp_path, "uw", 0)
    figure = draw("figure4", scene_of(tmp_path))
    titles = [panel.get_title(loc="left").replace("\u00a0", " ") for panel in figure.axes]
    assert titles == ["uw, n = 1", "taskforce, n = 2"]
    assert "±" in shown_words(figure)
    alone = draw("figure4", scene_of(tmp_path, methods=["uw"]))
    assert "±" not in shown_words(alone)


def write_weights(path: Path, weights_N: np.ndarray, every: int = 1) -> None:
    """Replace the step log by one with these weights of the first of two tasks, in percent."""
    shutil.rmtree(path / "steps")
    log = StepLog(path / "steps", tuple(SCENE_TASKS), every=every)
    for step, weight in enumerate(weights_N, start=1):
        log.add(step, 1, (0, 1), np.ones(2), np.array([weight, 100.0 - weight]), None, {})
    log.flush()


def test_the_end_of_a_line_is_the_average_of_the_last_ten_shares(tmp_path: Path) -> None:
    path = write_run(tmp_path, "taskforce", 0, steps=30)
    write_weights(path, np.arange(1.0, 31.0))
    (panel,) = draw("figure4", scene_of(tmp_path)).axes
    lines = [line for line in panel.lines if len(line.get_xdata()) > 5]
    assert [line.get_ydata()[-1] for line in lines] == pytest.approx([0.255, 0.745])
    assert [line.get_xdata()[[0, -1]].tolist() for line in lines] == [[10, 30]] * 2


def test_only_methods_with_a_gram_have_gradients(everything: Path) -> None:
    figure = draw("gradients", scene_of(everything))
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    named = [title.partition(":")[0] for title in titles if ":" in title]
    assert named == list(WITH_GRAM)


@pytest.mark.parametrize("every", [1, 5])
def test_a_long_run_is_averaged_over_more_updates_than_a_short_one(
    tmp_path: Path, every: int
) -> None:
    """In the end weights of 0 and 80 take turns of 20 updates: their mean over 40 is 40."""
    path = write_run(tmp_path, "taskforce", 0, steps=1600)
    turns_N = 80.0 * (np.arange(1600) // 20 % 2)
    write_weights(path, np.where(np.arange(1600) < 800, 10.0, turns_N), every)
    figure = draw("figure4", scene_of(tmp_path))
    assert "Moving average over 40 updates;" in shown_words(figure)
    (line, _) = (line for line in figure.axes[0].lines if len(line.get_xdata()) > 5)
    half = 400 // every
    assert line.get_ydata()[:half] == pytest.approx(np.full(half, 0.1))
    assert line.get_ydata()[-half:] == pytest.approx(np.full(half, 0.4))


def write_one_against_all(path: Path, tasks: Sequence[str], updates: int) -> None:
    """In every update the next task's gradient is the opposite of all others."""
    shutil.rmtree(path / "steps")
    log = StepLog(path / "steps", tuple(tasks))
    everyone, equal = range(len(tasks)), np.ones(len(tasks))
    for step in range(updates):
        signs_T = np.where(np.arange(len(tasks)) == step % len(tasks), -1.0, 1.0)
        log.add(step + 1, 1, everyone, equal, equal, np.outer(signs_T, signs_T), {})
    log.flush()


def test_conflicts_that_averages_over_updates_would_hide_are_shown(tmp_path: Path) -> None:
    """Each pair agrees in 9 of 11 updates, and in each update 10 of 55 pairs are in conflict."""
    for seed in (0, 1):
        path = write_run(tmp_path, "mgda", seed, qm9=True, steps=44)
        write_one_against_all(path, list(QM9), 44)
    _, cosines, table, _ = draw("gradients", scene_of(tmp_path)).axes
    assert cosines.get_title(loc="left") == "cosines of pairs, 18 % below 0"
    outer, inner = (band.get_paths()[0].vertices[:, 1] for band in cosines.collections)
    assert (outer.min(), outer.max()) == pytest.approx((-1.0, 1.0))
    assert (inner.min(), inner.max()) == pytest.approx((1.0, 1.0))
    assert cosines.get_ylim()[0] <= -1.0
    means = table.images[0].get_array().compressed()
    assert means == pytest.approx(np.full(55, 7 / 11))


def test_the_line_of_a_pair_says_how_often_it_is_a_conflict(tmp_path: Path) -> None:
    path = write_run(tmp_path, "mgda", 0, tasks=three_tasks())
    write_one_against_all(path, list(three_tasks()), 24)
    words = shown_words(draw("gradients", scene_of(tmp_path)))
    for pair in ("Seg, Depth", "Seg, Normals", "Depth, Normals"):
        assert f"{pair}, 67 % below 0" in words


def test_names_beside_the_points_do_not_cover_each_other(everything: Path) -> None:
    figure = draw("cost", scene_of(everything))
    boxes = [
        Text.get_window_extent(text)
        for text in figure.axes[0].texts
        if isinstance(text, Annotation)
    ]
    assert len(boxes) == len(METHODS)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_cost_and_delta_are_those_of_the_tables(tmp_path: Path) -> None:
    for label, factor, seconds in (("stl", 1.0, 6.0), ("ls", 1.5, 2.0), ("uw", 1.2, 3.0)):
        write_run(tmp_path, label, 0, factor=factor, seconds={"train_epoch": seconds})
    write_run(tmp_path, "mgda", 0, factor=1.1, device="cuda")
    write_run(tmp_path, "rlw", 3, factor=1.1)
    busy = {"train_epoch": 6.0, "train_epoch_cpu": 3.0, "train_epoch_waiting": 3.0}
    write_run(tmp_path, "dwa", 0, factor=1.1, seconds=busy)
    with style():
        drawing = FIGURES["cost"](scene_of(tmp_path))
    points = [
        line.get_xydata()[0].tolist()
        for line in drawing.figure.axes[0].lines
        if line.get_marker() != "None"
    ]
    assert points == [pytest.approx(p) for p in ([3.0, 0.0], [1.0, 50.0], [1.5, 20.0])]
    dwa, mgda, rlw = drawing.missing
    assert dwa == "dwa: no cost: timed under another load than LS"
    needed = "mgda: no cost: needs a run of LS with the same seed on the same device"
    assert f"{needed}: `mtl-bench train -m method=ls" in mgda
    assert "no Δm without STL runs of the same seeds: `mtl-bench train method=stl seed=" in rlw
    assert "Not shown: dwa, mgda, rlw." in shown_words(drawing.figure)


def test_ablations_are_not_ranked(tmp_path: Path) -> None:
    for label in ("stl", "ls", "mgda", "taskforce", "taskforce-alt", "ls-bf16"):
        write_run(tmp_path, label, 0)
    ranking = rank_rows(scene_of(tmp_path))
    assert {row.name for row in ranking.rows} == {"ls", "mgda", "taskforce"}
    assert ranking.ranks_MCS.max() <= 3
    assert ranking.left_out == ("ls-bf16 (an ablation)", "taskforce-alt (an ablation)")


def test_ranks_follow_the_direction_of_each_metric(tmp_path: Path) -> None:
    for seed in (0, 1):
        for label, miou, error in (("ls", 40.0, 0.5), ("uw", 30.0, 0.5), ("mgda", 50.0, 0.9)):
            values = {"semantic": {"miou": miou}, "depth": {"abs": error}}
            write_record(tmp_path, label, seed, values=values, tasks=SCENE_TASKS)
    write_run(tmp_path, "stl", 0)
    write_run(tmp_path, "rlw", 0)
    broken = scene_values(1.0) | {"depth": {"abs": None}}
    for seed in (0, 1):
        write_record(tmp_path, "dwa", seed, values=broken, tasks=SCENE_TASKS)
    ranking = rank_rows(scene_of(tmp_path))
    assert [row.name for row in ranking.rows] == ["ls", "mgda", "uw"]
    assert ranking.ranks_MCS[:, :, 0].tolist() == [[2, 1.5], [1, 3], [3, 1.5]]
    assert ranking.left_out == ("dwa (a metric has no value)", "rlw (no seed 1)")


def test_of_two_sets_of_seeds_as_common_the_larger_is_ranked_and_named(tmp_path: Path) -> None:
    for label, seeds in (("ls", (0,)), ("rlw", (0,)), ("mgda", (0, 1)), ("taskforce", (0, 1))):
        for seed in seeds:
            write_run(tmp_path, label, seed)
    scene = scene_of(tmp_path)
    ranking = rank_rows(scene)
    assert ranking.ranks_MCS.shape == (2, 2, 2)
    assert ranking.left_out == ("ls (no seed 1)", "rlw (no seed 1)")
    assert "seeds 0, 1 (n = 2)" in shown_words(draw("ranking", scene)).replace("\u00a0", " ")


def test_the_footer_names_the_seeds_that_were_ranked(tmp_path: Path) -> None:
    for label, seeds in (("ls", (0,)), ("rlw", (0,)), ("taskforce", (0, 1))):
        for seed in seeds:
            write_run(tmp_path, label, seed)
    words = shown_words(draw("ranking", scene_of(tmp_path))).replace("\u00a0", " ")
    assert "seed 0 (n = 1)" in words
    assert "Ranks within each metric and seed (the tables rank the means over seeds)" in words


@pytest.mark.parametrize("name", ["curves", "cost"])
def test_the_footer_names_tasks_that_were_never_labelled(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, "stl", 0)
    write_run(tmp_path, "ls", 0, untrained=["depth"])
    assert "No training label of Depth in ls." in shown_words(draw(name, scene_of(tmp_path)))


@pytest.mark.parametrize("name", FIGURES)
def test_one_method_and_one_seed_is_drawn_or_explained(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, "taskforce", 0)
    scene = scene_of(tmp_path)
    if name in ("figure4", "score", "curves", "gradients", "triad"):
        assert "seed 0 (n" in shown_words(draw(name, scene))
        return
    with pytest.raises(CannotDrawError, match="mtl-bench train"):
        FIGURES[name](scene)


@pytest.mark.parametrize("name", OF_METHODS)
def test_nan_and_short_logs_are_drawn(tmp_path: Path, name: str) -> None:
    for label in ("stl", "ls", "mgda", "taskforce"):
        for seed in (0, 1):
            path = write_run(tmp_path, label, seed)
            line = {"epoch": 31, "train_loss": {"depth": None}, "test": {"depth": {"abs": None}}}
            with (path / "metrics.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            if label == "mgda":
                log = StepLog(path / "steps", tuple(SCENE_TASKS))
                log.store.resume(None)
                gram_SS = np.full((1, 1), 4.0 * seed)
                log.add(1, 1, (0,), np.ones(1), np.full(2, np.nan), gram_SS, {})
                log.flush()
            finish(path)
    draw(name, scene_of(tmp_path))


@pytest.mark.parametrize("name", ["figure4", "curves", "gradients"])
def test_what_cannot_be_read_is_told_and_the_rest_drawn(tmp_path: Path, name: str) -> None:
    paths = [write_run(tmp_path, "taskforce", seed) for seed in (0, 1, 2)]
    next((paths[0] / "steps").iterdir()).write_bytes(b"no parquet")
    (paths[0] / "metrics.jsonl").write_text('{"epoch":')
    for part in (paths[1] / "steps").iterdir():
        part.unlink()
    (paths[1] / "metrics.jsonl").unlink()
    for path in paths:
        finish(path)
    with style():
        drawing = FIGURES[name](scene_of(tmp_path))
    assert len(drawing.missing) == 2
    assert all(str(path) in text for path, text in zip(paths, drawing.missing, strict=False))


@pytest.mark.parametrize("name", ["figure4", "gradients"])
def test_a_missing_part_is_told_and_the_rest_drawn(tmp_path: Path, name: str) -> None:
    paths = [write_run(tmp_path, "taskforce", seed) for seed in (0, 1)]
    sorted((paths[1] / "steps").iterdir())[0].unlink()
    with style():
        drawing = FIGURES[name](scene_of(tmp_path))
    (told,) = drawing.missing
    assert told.startswith(f"taskforce: {paths[1] / 'steps'} lacks updates 1 to 12: restore it")
    assert "seed 0 (n = 1)" in shown_words(drawing.figure).replace("\u00a0", " ")


@pytest.mark.parametrize("name", OF_METHODS)
def test_unsealed_records_are_told_in_the_footer(tmp_path: Path, name: str) -> None:
    for label in ("stl", "ls", "taskforce"):
        for seed in (0, 1):
            path = write_run(tmp_path, label, seed)
            if (label, seed) == ("taskforce", 1):
                unseal(path)
    assert "Unsealed records: taskforce seed 1." in shown_words(draw(name, scene_of(tmp_path)))


@pytest.mark.parametrize("name", ["figure4", "gradients"])
def test_the_footer_counts_the_seeds_whose_steps_are_drawn(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, "taskforce", 0)
    for seed in (1, 2):
        shutil.rmtree(write_run(tmp_path, "taskforce", seed) / "steps")
    with style():
        drawing = FIGURES[name](scene_of(tmp_path))
    assert "seed 0 (n = 1)" in shown_words(drawing.figure).replace("\u00a0", " ")
    assert drawing.missing == ("taskforce: no step log of seed 1, 2",)


def test_runs_with_skipped_batches_are_cut_to_the_shortest(tmp_path: Path) -> None:
    for seed, steps in ((0, 24), (1, 20)):
        path = write_run(tmp_path, "taskforce", seed, steps=steps)
        assert len(list((path / "steps").iterdir())) == 2
    (panel,) = draw("figure4", scene_of(tmp_path)).axes
    assert max(line.get_xdata()[-1] for line in panel.lines if len(line.get_xdata()) > 5) == 20


def test_a_log_of_every_second_step_is_cut_by_its_steps(tmp_path: Path) -> None:
    for seed, steps in ((0, 48), (1, 40)):
        path = write_run(tmp_path, "taskforce", seed, steps=steps)
        shutil.rmtree(path / "steps")
        log = StepLog(path / "steps", tuple(SCENE_TASKS), every=2)
        for step in range(1, steps + 1):
            log.add(step, 1, (0, 1), np.ones(2), np.array([1.0, step]), None, {})
        (path / "steps").mkdir()
        log.flush()
    with style():
        drawing = FIGURES["figure4"](scene_of(tmp_path))
    assert drawing.missing == ()
    assert "n = 2" in shown_words(drawing.figure).replace("\u00a0", " ")


def test_many_variants_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    labels = ["stl", "ls", "taskforce", *(f"taskforce-v{i}" for i in range(13))]
    for label in labels:
        write_record(tmp_path, label, 0, values=scene_values(1.0), tasks=SCENE_TASKS)
    scene = scene_of(tmp_path)
    assert [row.name for row in scene.rows] == ["stl", "ls", "taskforce"]
    assert len(scene.left_out) == 13
    named = scene_of(tmp_path, methods=["ls", "taskforce-v3"])
    assert [row.name for row in named.rows] == ["ls", "taskforce-v3"]


def test_comparisons_of_one_data_set_have_names_of_their_own(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, values=scene_values(1.0), tasks=SCENE_TASKS, epochs=7)
    write_record(tmp_path, "uw", 0, values=scene_values(1.0), tasks=SCENE_TASKS, protocol="aligned")
    scenes = find_scenes(find_records(tmp_path), None)
    assert sorted(scene.suffix for scene in scenes) == ["qm9_aligned_30epochs", "qm9_nash_7epochs"]


def test_the_command_says_what_it_could_not_draw(tmp_path: Path, capsys) -> None:
    write_run(tmp_path, "ls", 0)
    write_run(tmp_path, "ls", 7)
    write_record(tmp_path, "uw", 0, done=False, error="disk full")
    write_record(tmp_path, "mgda", 0, done=False, dataset="nyuv2")
    assert main(["figures", f"paths.results={tmp_path}", "seed=0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = tmp_path / "mini" / "figures"
    assert lines[5:7] == [f"{folder}/curves_qm9.png", f"{folder}/curves_qm9.svg"]
    told = "\n".join(lines)
    assert "figure2 of mini / qm9 not drawn: no finished run of its sweep (16 missing)" in told
    assert "the weights of ls are constant" in told
    for place, state in (("qm9", "failed"), ("nyuv2", "interrupted")):
        status = f"`mtl-bench status profile=mini dataset={place} paths.results={tmp_path}`"
        assert f"mini / {place}: not shown: 1 {state} (see {status})" in told
    assert "seed 0 (n" in (folder / "curves_qm9.svg").read_text()


def test_another_selection_is_used_or_missed(tmp_path: Path, capsys) -> None:
    write_run(tmp_path, "ls", 0)
    assert main(["figures", "curves", f"paths.results={tmp_path}", "selection=last"]) == 0
    assert "1 finished without metrics under this selection" in capsys.readouterr().out


def test_no_records_say_what_to_type(tmp_path: Path, capsys) -> None:
    assert main(["figures", f"paths.results={tmp_path}"]) == 0
    assert "mtl-bench train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["figure9"], "unknown figure figure9; allowed: figure2"),
        (["colour=red"], "unknown setting colour=red"),
        (["seed=one"], "seed=one: must be whole numbers"),
        (["selection=foo"], "selection=foo: must be one of best_val, last, last_k_mean"),
        (["selection=all"], "selection=all: must be one of best_val, last, last_k_mean"),
    ],
)
def test_bad_words_are_one_line(tmp_path: Path, capsys, words: list[str], message: str) -> None:
    assert main(["figures", f"paths.results={tmp_path}", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_method_that_no_run_has_is_named(tmp_path: Path, capsys) -> None:
    write_run(tmp_path, "ls", 0)
    write_record(tmp_path, "mgda", 0, done=False)
    words = ["figures", "curves", f"paths.results={tmp_path}"]
    assert main([*words, "method=ls,nosuch"]) == 2
    told = "no run record has method=nosuch; there are ls, mgda"
    assert told in capsys.readouterr().err
    assert main([*words, "method=ls,mgda"]) == 0


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path, capsys, monkeypatch) -> None:
    write_run(tmp_path, "ls", 0)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["figures", f"paths.results={tmp_path}"]) == 2
    assert "pip install 'mtl_bench[report]'" in capsys.readouterr().err


def test_the_command_needs_no_torch() -> None:
    check = (
        "import sys, mtl_bench.reporting.figures.command\n"
        "assert not {'torch', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
