"""What the page says of methods against each other, in a real browser."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.page.write import write_report
from mtl_bench.reporting.statistics import compare_parts, rank_rows, runs_under
from tests.reporting.page.chromium import Chromium
from tests.reporting.page.driving import (
    HEAT,
    NEEDS_CHROMIUM,
    PAIRED,
    TRADE,
    change,
    click,
    ink,
    rows,
)
from tests.reporting.page.runs import EVIL_VARIANT, add_run

pytestmark = NEEDS_CHROMIUM


def test_the_best_stands_first_and_single_task_learning_is_the_reference(
    browser: Chromium, page: Path
) -> None:
    browser.show(1280)
    browser.open(page, "overview")
    table = "document.querySelector('#panel-overview .headline')"
    scores = browser.run(
        f"[...{table}.querySelectorAll('tbody tr')]"
        ".map((row) => row.children[1].firstChild.textContent)"
    )
    numbers = [float(text) for text in scores if text != "–"]
    assert numbers == sorted(numbers)
    assert len(numbers) > 4
    tagged = f"[...{table}.querySelectorAll('.reference')].map((row) => row.textContent)"
    (reference,) = browser.run(tagged)
    assert reference.startswith("stlreference0.00")


def test_a_switch_adds_the_variants_and_ranks_all(rooms: Chromium, page: Path) -> None:
    """The rank of a method is among methods until variants stand beside it."""
    methods, ablations = compare_parts(
        runs_under(find_records(page.parents[1], dataset="rooms"), None)
    )
    every = {row.name: row for row in (*methods.rows, *ablations.rows)}
    ranks = {
        row.name: row.mean_rank
        for row in rank_rows(methods.columns, list(every.values()), methods.score, ablations=True)
    }
    table = "document.querySelector('#panel-data-rooms .comparison')"
    assert f"rlw-{EVIL_VARIANT}" not in rows(rooms)
    change(rooms, f"{table}.querySelector('input[type=checkbox]')", "box.checked = true")
    assert set(rows(rooms)) == set(every)
    shown = rooms.run(
        f"(() => {{ const heads = [...{table}.querySelectorAll('.head')];"
        " const at = heads.findIndex((head) => head.textContent === 'rank');"
        f" return [...{table}.querySelectorAll('tbody tr')]"
        ".map((row) => row.children[at].textContent)"
        "})()"
    )
    told = dict(zip(rows(rooms), shown, strict=True))
    assert told == {name: "–" if r is None else f"{r:.2f}" for name, r in ranks.items()}
    assert sum(rank is not None for rank in ranks.values()) > len(methods.rows) - 2


@pytest.mark.parametrize("spread", [0, 60])
def test_every_point_has_its_name_and_none_lies_on_another(rooms: Chromium, spread: int) -> None:
    generator = np.random.default_rng(spread)
    points = [
        {"x": 300 + spread * dx, "y": 160 + spread * dy, "width": 60 + 30 * wide}
        for dx, dy, wide in generator.uniform(-1, 1, (28, 3)).tolist()
    ]
    area = {"left": 40, "right": 640, "top": 10, "bottom": 340}
    found = rooms.run(f"placeLabels({json.dumps(points)}, {json.dumps(area)}, [], 1)")
    places = [each["place"] for each in found]
    assert len(places) == len(points)
    assert any(each["leader"] for each in found)
    for place, point in zip(places, points, strict=True):
        assert place["right"] - place["left"] == pytest.approx(point["width"])
        assert area["left"] <= place["left"] < place["right"] <= area["right"]
        assert area["top"] <= place["top"] < place["bottom"] <= area["bottom"]
    for a, b in combinations(places, 2):
        apart = min(a["right"], b["right"]) <= max(a["left"], b["left"])
        assert apart or min(a["bottom"], b["bottom"]) <= max(a["top"], b["top"])


@pytest.mark.parametrize("seeds", [1, 2, 3, 7, 12])
def test_the_exact_test_counts_all_patterns_of_signs(rooms: Chromium, seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.5, 1, seeds)
    sums = [abs(float(np.dot(signs, values))) for signs in product((1, -1), repeat=seeds)]
    extreme = sum(total >= abs(values.sum()) - 1e-9 for total in sums)
    found = rooms.run(f"signFlipTest({json.dumps(values.tolist())})")
    assert found == {
        "p": pytest.approx(extreme / 2**seeds),
        "extreme": extreme,
        "patterns": 2**seeds,
    }
    assert rooms.run(f"signFlipTest({[1.5] * seeds}).p") == 2 / 2**seeds
    assert rooms.run(f"signFlipTest({[0] * seeds}).p") == 1


def test_the_interval_of_many_seeds_is_that_of_the_bootstrap(rooms: Chromium) -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 40)
    draws = values[np.random.default_rng(1).integers(40, size=(20_000, 40))].mean(axis=1)
    found = rooms.run(f"bootstrapMean({json.dumps(values.tolist())})")
    assert found == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)


def test_two_methods_are_compared_over_their_common_seeds(rooms: Chromium) -> None:
    """Δm of factor f is 100 (f - 1) where lower is better, and 100 (1 - 1 / f) where higher is."""
    rises = 1 + np.arange(3) / 50
    worse = np.mean([1, 1, 0, 0])

    def deltas(factor: float) -> np.ndarray:
        single_low, single_high = rises.mean(), (1 / rises).mean()
        low, high = factor * rises / single_low - 1, 1 - 1 / (factor * rises) / single_high
        return 100 * (worse * low + (1 - worse) * high)

    differences = deltas(0.9) - deltas(1.3)
    boxes = f"{PAIRED}.querySelectorAll('select')"
    assert rooms.run(f"[...{boxes}].map((box) => box.value)") == ["taskforce", "ls"]
    cells = f"[...{PAIRED}.querySelectorAll('tbody tr')].map((row) => row.children[3].textContent)"
    assert rooms.run(cells) == [f"{x:+.2f}" for x in differences]
    told = rooms.run(f"{PAIRED}.textContent")
    assert f"{differences.mean():+.2f} ± {differences.std(ddof=1):.2f} %" in told
    assert "taskforce is ahead in 3 of 3" in told
    assert "p = 0.25" in told
    assert "takes 6 seeds or more" in told
    change(rooms, f"{boxes}[1]", "box.value = 'mgda'")
    assert "One seed says nothing" in rooms.run(f"{PAIRED}.textContent")


def test_the_heat_map_has_the_change_of_every_task(rooms: Chromium, page: Path) -> None:
    """Worse is warm, better is cool, nothing is neither; the numbers say the same."""
    table = f"{HEAT}.querySelector('table')"
    heads = rooms.run(f"[...{table}.querySelectorAll('.head')].map((head) => head.textContent)")
    assert heads == ["method", "Δm", "Seg <b class=evil>", "Depth", "Normals"]
    shown = rooms.run(
        f"Object.fromEntries([...{table}.querySelectorAll('tbody tr')].map((row) => "
        "[row.children[0].children[1].textContent,"
        " [...row.querySelectorAll('.shade')].map((cell) =>"
        " [cell.textContent, cell.classList.contains('warm'),"
        " cell.style.getPropertyValue('--strength')])]))"
    )
    low, high = 100 * (0.9 - 1), 100 * (1 - 1 / 0.9)
    assert [text for text, *_ in shown["taskforce"]] == [f"{x:+.1f}" for x in (high, low, low)]
    assert not any(warm for _, warm, _ in shown["taskforce"])
    assert [text for text, *_ in shown["ls"]] == ["+23.1", "+30.0", "+30.0"]
    assert all(warm for _, warm, _ in shown["ls"])
    assert shown["stl"] == [["0.0", False, "0%"]] * 3
    assert [text for text, *_ in shown["uw"]] == ["+28.6", "–", "+40.0"]
    better, worse = (int(shown[name][1][2][:-1]) for name in ("taskforce", "ls"))
    assert 0 < better < worse
    assert f"rlw-{EVIL_VARIANT}" not in shown
    click(rooms, f"{HEAT}.querySelector('input')")
    assert f"rlw-{EVIL_VARIANT}" in rooms.run(f"{HEAT}.textContent")


@pytest.mark.parametrize("higher_x", [False, True])
@pytest.mark.parametrize("higher_y", [False, True])
def test_the_front_is_what_no_other_beats(rooms: Chromium, higher_x: bool, higher_y: bool) -> None:
    generator = np.random.default_rng(0)
    angles_N, radii_N = generator.uniform(0, 2 * np.pi, 60), generator.uniform(4, 9, 60)
    disc_N2 = np.stack([radii_N * np.cos(angles_N), radii_N * np.sin(angles_N)], axis=1)
    values_N2 = np.round(disc_N2).astype(int)  # with ties
    gains_N2 = np.where([higher_x, higher_y], values_N2, -values_N2)
    beaten_N = [
        any((other >= own).all() and (other > own).any() for other in gains_N2) for own in gains_N2
    ]
    points = [{"x": {"value": x}, "y": {"value": y}} for x, y in values_N2.tolist()]
    switches = f"{json.dumps(higher_x)}, {json.dumps(higher_y)}"
    found = rooms.run(f"paretoFront({json.dumps(points)}, {switches})")
    pairs = [(each["x"]["value"], each["y"]["value"]) for each in found]
    assert sorted(pairs) == sorted(map(tuple, values_N2[np.logical_not(beaten_N)].tolist()))
    assert [x for x, _ in pairs] == sorted(x for x, _ in pairs)
    assert 1 < len(set(pairs)) < 60


def test_the_axes_begin_with_what_most_methods_have(rooms: Chromium) -> None:
    quantities = (
        "[['cost', '', 1], ['a', 'A', 3], ['b', 'B', 2]].map(([id, task, count]) => "
        "({ id, task, pick: (row) => ({ value: row < count ? 1 : null }) }))"
    )
    chosen = rooms.run(f"firstQuantities({quantities}, [0, 1, 2]).map(({{ id }}) => id)")
    assert chosen == ["a", "b"]


def test_two_numbers_of_every_method_are_chosen(rooms: Chromium) -> None:
    boxes = f"{TRADE}.querySelectorAll('select')"
    assert rooms.run(f"[...{boxes}].map((box) => box.selectedOptions[0].text)") == [
        "epoch cost",
        "Δm",
    ]
    label = f"{TRADE}.querySelector('.plot').getAttribute('aria-label')"
    assert "No multi-task method beats ls, mgda, taskforce in both" in rooms.run(label)
    assert "not drawn: uw" in rooms.run(f"{TRADE}.textContent")
    before = ink(rooms, TRADE)
    change(rooms, f"{boxes}[0]", "box.value = 'metric 0'")
    assert "Lower right is better" in rooms.run(f"{TRADE}.textContent")
    assert "No multi-task method beats taskforce in both" in rooms.run(label)
    assert ink(rooms, TRADE) != before
    change(rooms, f"{TRADE}.querySelector('input')", "box.checked = true")
    assert f"rlw-{EVIL_VARIANT}" in rooms.run(label)


def test_the_settings_in_which_two_runs_differ(browser: Chromium, tmp_path: Path) -> None:
    for label, seed, lr in (("ls", 0, 0.1), ("ls", 1, 0.1), ("uw", 0, 0.2)):
        settings = {"optimizer": {"lr": lr, "betas": [0.9, 0.999]}}
        add_run(tmp_path, label, seed, 1.0, dataset="rooms", settings=settings)
    browser.show(1280)
    browser.open(write_report(tmp_path, "mini", None), "runs")
    part = "document.getElementById('difference')"
    click(browser, f"{part}.querySelector('summary')")
    table = (
        f"[...{part}.querySelectorAll('tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    assert browser.run(table) == [["method.name", '"ls"', '"uw"'], ["optimizer.lr", "0.1", "0.2"]]
    boxes = f"{part}.querySelectorAll('select')"
    change(browser, f"{boxes}[2]", "box.value = '0'")
    assert browser.run(table) == []
    change(browser, f"{boxes}[3]", "box.value = '1'")
    assert browser.run(table) == [["seed", "0", "1"]]
    assert browser.problems == []
