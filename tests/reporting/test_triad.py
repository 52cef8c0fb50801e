"""The triad's statistics against gradients that are written out, and as table and figure."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.cli import main
from mtl_bench.records.reader import find_records
from mtl_bench.records.steps import StepLog, read_steps
from mtl_bench.reporting.figures.context import find_scenes
from mtl_bench.reporting.figures.triad import draw
from mtl_bench.reporting.run_tables import render_runs
from mtl_bench.reporting.triad import (
    curvature_bound,
    magnitude_similarity,
    pair_columns,
    pair_statistics,
    triad_shares,
)
from tests.records.control import COMPONENTS, TASKS, write_control
from tests.reporting.figures.records import write_run
from tests.reporting.test_weight_table import rows_of

VECTORS = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3).map(np.array)


def of_gradients(gradients_NTP):
    """Return the columns that a step log has of these gradients."""
    tasks = gradients_NTP.shape[1]
    grams = gradients_NTP @ gradients_NTP.transpose(0, 2, 1)
    squares = np.diagonal(grams, axis1=1, axis2=2)
    first, second = np.triu_indices(tasks, 1)
    cosines = grams[:, first, second] / np.sqrt(squares[:, first] * squares[:, second])
    return np.concatenate([squares, cosines], axis=1)


@given(VECTORS, VECTORS)
def test_similarity_and_bound_are_those_of_the_definitions(one, other):
    a, b = np.linalg.norm(one), np.linalg.norm(other)
    if min(a, b) < 1e-3 or np.linalg.norm(one + other) < 1e-3 * (a + b):
        return
    cosine = one @ other / (a * b)
    similarity = magnitude_similarity(np.array(a**2), np.array(b**2))
    assert similarity == pytest.approx(2 * a * b / (a**2 + b**2), rel=1e-6)
    bound = (1 - cosine**2) * ((one - other) ** 2).sum() / ((one + other) ** 2).sum()
    assert curvature_bound(np.array(cosine), similarity) == pytest.approx(bound, rel=1e-4, abs=1e-9)


def test_similarity_goes_from_one_for_equal_lengths_to_zero():
    found = magnitude_similarity(np.array([4.0, 1.0, 0.0, 1e-320]), np.array([4.0, 9.0, 1.0, 1.0]))
    assert found == pytest.approx([1.0, 0.6, 0.0, 0.0], abs=1e-12)
    assert np.isnan(magnitude_similarity(np.array([0.0]), np.array([0.0]))).all()


def test_each_pair_is_judged_by_itself():
    """Condition (a) is a conflict that is strong, between lengths that are unequal."""
    gradients_NTP = np.array(
        [
            [[1.0, 0.0], [-8.0, 1.0], [0.0, 1.0]],  # 0, 1 opposed and unequal; 1, 2 agree
            [[1.0, 0.0], [-0.1, 1.0], [1.0, 1.0]],  # 0, 1 hardly opposed and as long
            [[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]],  # 0, 1 exactly opposed; 2 is zero
        ]
    )
    with np.errstate(invalid="ignore"):
        values = of_gradients(gradients_NTP)
    values[:, 3:] = np.nan_to_num(values[:, 3:])  # as a step log has it, 0 for a gradient of zero
    found = pair_statistics(values, 3)
    assert found.known_NP.tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert found.conflicting_NP.tolist() == [[True, False, False]] * 3
    assert found.dominated_NP[:, 0].tolist() == [True, False, True]
    assert found.bounded_NP[:, 0].tolist() == [True, False, True]
    shares = triad_shares(found)
    assert shares.conflicts == pytest.approx(3 / 7)
    assert shares.dominated == pytest.approx(2 / 3)
    assert shares.bounded == pytest.approx(2 / 3)


@pytest.mark.parametrize("tasks", [2, 4])
def test_a_batch_without_labels_of_a_task_counts_for_none_of_its_pairs(tasks):
    generator = np.random.default_rng(tasks)
    values = of_gradients(generator.normal(size=(50, tasks, 3)))
    kept = triad_shares(pair_statistics(values[:40], tasks))
    values[40:] = np.nan
    assert triad_shares(pair_statistics(values, tasks)) == kept
    assert 0 < kept.conflicts < 1
    assert 0 < kept.similarity < 1


def test_gradients_that_cancel_have_no_bound():
    values = of_gradients(np.array([[[1.0, 1.0], [-1.0, -1.0]]]))
    shares = triad_shares(pair_statistics(values.round(12), 2))
    assert (shares.conflicts, shares.dominated, shares.bounded) == (1.0, 1.0, 0.0)
    assert np.isnan(shares.bound)


def test_columns_are_those_of_the_log(tmp_path):
    tasks = ("a", "b", "c")
    log = StepLog(tmp_path, tasks)
    log.add(1, 1, range(3), np.ones(3), np.ones(3), np.eye(3), {})
    log.flush()
    assert set(pair_columns(tasks)) <= set(read_steps(tmp_path).column_names)


def test_the_table_has_a_row_for_each_run_and_component(tmp_path):
    write_control(tmp_path, "pcgrad", 0)
    write_control(tmp_path, "ls", 0)
    path = write_control(tmp_path, "pcgrad", 1)
    for component in COMPONENTS:
        shutil.rmtree(path / "steps" / component)
    for number, component in enumerate(COMPONENTS):
        log = StepLog(path / "steps", TASKS, component)
        for step in range(1, 41):
            gram = np.array([[1.0, (-1) ** step * 1.9], [(-1) ** step * 1.9, 4.0]])
            numbers = {"curvature": float(step) if step % 10 == 0 else np.nan} if number else {}
            log.add(step, 1, (0, 1), np.ones(2), np.ones(2), gram, numbers)
        log.flush()
    text = render_runs("triad", find_records(tmp_path), form="markdown", width=200)
    rows = {name: cells for name, *cells in rows_of(text)}
    # |g1| = 1, |g2| = 2 and cos = -0.25 in every update: ξ = (1 - 1/16) 6 / 4
    every = ["100.0 %", "0.800", "0.0 %", "1.4", "0.0 %", "–", "–"]
    assert rows["pcgrad critic seed 0"] == rows["pcgrad actor seed 0"] == every
    # cos = -0.95 in every other update: ξ = (1 - 0.9025) (5 + 3.8) / (5 - 3.8)
    opposed = ["50.0 %", "0.800", "100.0 %", "0.72", "100.0 %"]
    assert rows["pcgrad actor seed 1"] == [*opposed, "–", "–"]
    assert rows["pcgrad critic seed 1"] == [*opposed, "25", "100.0 %"]
    assert "ls actor seed 0, ls critic seed 0" in text.replace("\n", " ")
    assert len(rows) == 4
    latex = render_runs("triad", find_records(tmp_path), form="latex", width=200)
    assert latex.isascii()
    assert r"$\xi$ $\leq$ 1" in latex


def test_without_a_gram_matrix_it_says_so(tmp_path, capsys):
    write_run(tmp_path, "ls", 0)
    assert main(["tables", "triad", f"paths.results={tmp_path}"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("No record here has a step log with the Gram matrix of two or more")
    assert main(["figures", "triad", f"paths.results={tmp_path}"]) == 0
    told = capsys.readouterr().out
    assert "triad of mini / qm9 not drawn: no method here computed the Gram matrix" in told


def test_the_figure_has_curvature_shares_and_returns(tmp_path):
    for seed in (0, 1):
        write_control(tmp_path, "pcgrad", seed)
    (scene,) = find_scenes(find_records(tmp_path), None)
    figure = draw(scene).figure
    figure.draw_without_rendering()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["actor: curvature H", "actor: share of conflicts and of their conditions"]
    assert titles[4:] == ["near: return ↑", "far: return ↑"]
    assert [t.get_text() for t in figure.axes[0].texts] == ["not measured"]
    conflicts, dominated, bounded = figure.axes[1].lines
    assert set(conflicts.get_ydata()) == {1.0}
    assert set(dominated.get_ydata()) == set(bounded.get_ydata()) == {0.0}
