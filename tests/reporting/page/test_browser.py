"""The page in a real browser: it draws, sorts, switches, zooms, and asks for nothing."""

from __future__ import annotations

import csv
import io
import json
import struct
import time
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.page import data
from mtl_bench.reporting.page.write import write_report
from mtl_bench.reporting.statistics import compare_parts, rank_rows, runs_under
from tests.records.control import explode, write_control
from tests.reporting.page.chromium import EXECUTABLE, PATIENCE, Chromium
from tests.reporting.page.runs import EVIL, EVIL_VARIANT, add_run, write_profile

pytestmark = pytest.mark.skipif(
    EXECUTABLE is None, reason="needs Chromium: apt-get install chromium"
)

TABS = ("overview", "data-rooms", "data-streets", "runs")
WEIGHTS, TRAINING, GRADIENTS, PAIRED, HEAT, TRADE = (
    f"[...document.querySelectorAll('#panel-data-rooms section')].find((s) => "
    f"s.querySelector('h2').textContent === '{title}')"
    for title in (
        *("Task weights", "Training curves", "Task gradients"),
        *("Paired comparison", "Relative change per task", "Trade-offs"),
    )
)
INK = """(canvas) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, width, height).data;
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 1) sum = (sum * 31 + pixels[at] * (at % 9973)) % 1e9;
  return sum;
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = write_profile(tmp_path_factory.mktemp("page") / "results")
    return write_report(folder.parent, "mini", None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def rooms(browser: Chromium, page: Path) -> Iterator[Chromium]:
    """The browser, showing the larger data set; nothing may have gone wrong in the end."""
    browser.show(1280)
    browser.open(page, "data-rooms")
    yield browser
    assert browser.problems == []


def rows(browser: Chromium) -> list[str]:
    return browser.run(
        "[...document.querySelector('#panel-data-rooms .comparison')"
        ".querySelectorAll('tbody th.name')]"
        ".map((cell) => cell.children[1].textContent)"
    )


def ink(browser: Chromium, part: str) -> list[float]:
    """A number for each picture of a part, 0 for an empty one."""
    return browser.run(f"[...({part}).querySelectorAll('canvas')].map({INK})")


def change(browser: Chromium, control: str, setting: str) -> None:
    browser.run(
        f"(() => {{ const box = {control}; {setting}; "
        "box.dispatchEvent(new Event('input')); box.dispatchEvent(new Event('change')); })()"
    )
    browser.settle()


def click(browser: Chromium, node: str) -> None:
    browser.run(f"{node}.click()")
    browser.settle()


def test_every_part_is_drawn_without_errors_or_requests(browser: Chromium, page: Path) -> None:
    browser.show(1280)
    browser.requests.clear()
    for tab in TABS:
        browser.open(page, tab)
        assert browser.run("document.querySelector('[aria-selected=true]').id") == f"tab-{tab}"
        assert browser.run("document.querySelectorAll('section.card').length > 0")
        assert all(ink(browser, "document.body"))
    assert browser.problems == []
    assert {url.partition("#")[0] for url in browser.requests} <= {
        page.resolve().as_uri(),
        "about:blank",
    }


def test_runs_without_curves_are_told_and_shown(
    browser: Chromium, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MOST", 4)
    short = write_report(page.parents[1], "mini", tmp_path / "short.html")
    browser.show(1280)
    for tab in TABS:
        browser.open(short, tab)
    browser.run("document.querySelectorAll('details.run').forEach((node) => (node.open = true))")
    browser.settle()
    runs = "[...document.querySelectorAll('details.run')]"
    total = browser.run(f"{runs}.length")
    alone = browser.run(
        f"{runs}.filter((n) => n.textContent.includes('in the record alone')).length"
    )
    assert alone == total - 4
    assert browser.run(f"{runs}.filter((n) => n.textContent.includes('miou')).length") > 4
    browser.open(short, "data-rooms")
    told = browser.run("document.querySelector('#panel-data-rooms').textContent")
    assert f"The page has the curves of 4 of {total - 2} runs" in told
    assert "those under other selection rules are left out: last." in told
    assert browser.problems == []


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window(
    browser: Chromium, page: Path, width: int, dark: bool
) -> None:
    browser.show(width, dark=dark)
    for tab in TABS:
        browser.open(page, tab)
        browser.run("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        browser.settle()
        browser.run("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        scroll = "document.scrollingElement"
        assert browser.run(f"{scroll}.scrollWidth <= {scroll}.clientWidth"), tab
        background = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, background[4:-1].split(","))) < 60) == dark


def test_headers_sort_by_number_and_leave_dashes_last(rooms: Chromium, page: Path) -> None:
    found, _ = compare_parts(runs_under(find_records(page.parents[1], dataset="rooms"), None))
    with_delta = [row for row in found.rows if row.score is not None]
    without = [row.name for row in found.rows if row.score is None]
    ascending = sorted(with_delta, key=lambda row: row.score.mean)
    header = (
        "[...document.querySelectorAll('#panel-data-rooms .comparison .sort')]"
        ".find((node) => node.firstChild.textContent === 'Δm')"
    )
    for direction, order in (("ascending", ascending), ("descending", ascending[::-1])):
        if direction == "descending":  # at first the best stands first
            rooms.run(f"{header}.focus()")
            rooms.press("\r")
        assert rows(rooms) == [row.name for row in order] + without
        assert rooms.run(f"{header}.closest('th').getAttribute('aria-sort')") == direction


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


def test_tabs_follow_the_arrow_keys(rooms: Chromium) -> None:
    rooms.run("document.querySelector('[role=tab][aria-selected=true]').focus()")
    for key, expected in (
        ("ArrowRight", "data-streets"),
        ("End", "runs"),
        ("ArrowRight", "overview"),
        ("ArrowLeft", "runs"),
        ("Home", "overview"),
    ):
        rooms.press(key)
        assert rooms.run("document.activeElement.id") == f"tab-{expected}"
        visible = "[...document.querySelectorAll('[role=tabpanel]')].filter((p) => !p.hidden)"
        assert rooms.run(f"{visible}.map((panel) => panel.id)") == [f"panel-{expected}"]
        assert rooms.run("location.hash") == f"#{expected}"


def test_the_selection_rule_changes_the_numbers(rooms: Chromium, page: Path) -> None:
    change(rooms, "document.querySelector('#panel-data-rooms select')", "box.value = '1'")
    found, _ = compare_parts(runs_under(find_records(page.parents[1], dataset="rooms"), "last"))
    shown = rooms.run("document.querySelector('#panel-data-rooms .comparison').textContent")
    assert "selection last" in shown
    ls = next(row for row in found.rows if row.name == "ls")
    assert f"{ls.metrics[0].mean:.2f}" in shown


def test_weights_change_with_run_smoothing_and_tasks(rooms: Chromium) -> None:
    seen = [ink(rooms, WEIGHTS)]
    assert rooms.run(f"{WEIGHTS}.querySelector('select').value") == "taskforce"
    for control, setting in (
        ("'input[type=range]'", "box.value = 9"),
        ("'select'", "box.value = 'ls'"),
    ):
        change(rooms, f"{WEIGHTS}.querySelector({control})", setting)
        seen.append(ink(rooms, WEIGHTS))
    click(rooms, f"{WEIGHTS}.querySelector('.key')")
    assert rooms.run(f"{WEIGHTS}.querySelector('.key').ariaPressed") == "false"
    seen.append(ink(rooms, WEIGHTS))
    assert all(len(numbers) == 1 and numbers[0] for numbers in seen)
    assert len({numbers[0] for numbers in seen}) == len(seen)


@pytest.mark.parametrize(
    ("reach", "smoothed"), [(0, [1, None, 5, 7, None, 3]), (1, [1, None, 6, 6, None, 3])]
)
def test_smoothing_keeps_gaps(rooms: Chromium, reach: int, smoothed: list[float | None]) -> None:
    assert rooms.run(f"smooth([1, null, 5, 7, null, 3], {reach})") == smoothed


def test_keys_and_the_button_zoom(rooms: Chromium) -> None:
    plot = f"{WEIGHTS}.querySelector('.plot')"
    scale = f"(({{min, max}}) => [min, max])(drawn.get({plot}).plot.scales.x)"
    whole = rooms.run(scale)
    reset = f"{plot}.querySelector('.reset')"
    assert rooms.run(f"{reset}.hidden")
    rooms.run(f"{plot}.focus()")
    rooms.press("+")
    rooms.settle()
    low, high = rooms.run(scale)
    assert high - low == pytest.approx((whole[1] - whole[0]) / 2)
    change(rooms, f"{WEIGHTS}.querySelector('input[type=range]')", "box.value = 3")
    assert rooms.run(scale) == [low, high]
    click(rooms, reset)
    assert rooms.run(scale) == whole
    assert rooms.run(f"{reset}.hidden")


def test_pointing_tells_the_values(rooms: Chromium) -> None:
    rooms.run(f"{WEIGHTS}.scrollIntoView()")
    left, top, width, height = rooms.run(
        f"(({{left, top, width, height}}) => [left, top, width, height])"
        f"({WEIGHTS}.querySelector('.u-over').getBoundingClientRect())"
    )
    rooms.call(
        "Input.dispatchMouseEvent", type="mouseMoved", x=left + width / 2, y=top + height / 2
    )
    rooms.settle()
    tip = rooms.run(f"{WEIGHTS}.querySelector('.tip').innerText").split()
    assert tip[0] == "update"
    update = float(tip[1])
    assert float(tip[tip.index("Normals") + 1]) == pytest.approx(1 + 2 * update / 900, rel=2e-3)


def test_pointing_at_a_row_highlights_it_whole(rooms: Chromium) -> None:
    """The name stays in place when the numbers are scrolled below it, so it has to cover them."""
    sunken, nothing = "rgb(240, 242, 245)", "rgba(0, 0, 0, 0)"
    for table, background in (
        ("document.querySelector('#panel-data-rooms .comparison')", sunken),
        (f"{GRADIENTS}.querySelector('.cosines')", nothing),
    ):
        row = f"{table}.querySelector('tbody tr:last-child')"
        rooms.run(f"{row}.scrollIntoView({{block: 'center'}})")
        x, y = rooms.run(
            f"(({{left, top, height}}) => [left + 3, top + height / 2])"
            f"({row}.getBoundingClientRect())"
        )
        rooms.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        rooms.settle()
        assert rooms.run(f"{row}.matches(':hover')")
        cells = f"[...{row}.children].map((cell) => getComputedStyle(cell).backgroundColor)"
        assert set(rooms.run(cells)) == {background}


def test_training_curves_choose_quantity_methods_and_seed(rooms: Chromium) -> None:
    captions = f"[...{TRAINING}.querySelectorAll('figcaption')].map((node) => node.textContent)"
    assert rooms.run(captions) == ["Seg <b class=evil>", "Depth", "Normals"]
    before = ink(rooms, TRAINING)
    change(rooms, f"{TRAINING}.querySelectorAll('select')[1]", "box.value = '1'")
    one_seed = ink(rooms, TRAINING)
    assert one_seed != before
    change(rooms, f"{TRAINING}.querySelector('select')", "box.value = 'test'")
    assert len(rooms.run(captions)) == 4
    assert all(ink(rooms, TRAINING))
    click(rooms, f"{TRAINING}.querySelectorAll('.quiet')[1]")
    assert ink(rooms, TRAINING) == []
    assert "No method is chosen" in rooms.run(f"{TRAINING}.textContent")


def test_bands_are_one_deviation_over_seeds_and_can_be_switched_off(rooms: Chromium) -> None:
    click(rooms, f"{TRAINING}.querySelectorAll('.quiet')[1]")
    click(rooms, f"[...{TRAINING}.querySelectorAll('.key')].find((k) => k.innerText === 'ls')")
    data = f"drawn.get({TRAINING}.querySelector('.plot')).plot.data"
    epochs, mean, high, low = (np.array(values) for values in rooms.run(data))
    losses_NE = [[1.3 * (1 + seed / 50) / epoch for epoch in epochs] for seed in (0, 1, 2)]
    expected, deviation = np.mean(losses_NE, axis=0), np.std(losses_NE, axis=0, ddof=1)
    assert mean == pytest.approx(expected, rel=1e-3)
    assert high - mean == pytest.approx(deviation, rel=0.02)
    assert mean - low == pytest.approx(deviation, rel=0.02)
    change(rooms, f"{TRAINING}.querySelectorAll('select')[1]", "box.value = 'all'")
    assert rooms.run(f"{data}.length") == 1 + 3


def test_a_seed_that_ends_early_and_a_single_one_have_no_band(rooms: Chromium) -> None:
    assert rooms.run("meanOverSeeds([[[1, 2, 3], [4, null, 6]], [[1, 2], [8, 3]]])") == {
        "xs": [1, 2, 3],
        "ys": [6, 3, 6],
        "spread": [pytest.approx(8**0.5), None, None],
    }


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
    strengths = {name: int(cells[1][2][:-1]) for name, cells in shown.items()}
    assert 0 < strengths["taskforce"] < strengths["ls"]
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


def test_two_numbers_of_every_method_are_chosen(rooms: Chromium) -> None:
    boxes = f"{TRADE}.querySelectorAll('select')"
    assert rooms.run(f"[...{boxes}].map((box) => box.selectedOptions[0].text)") == [
        "epoch cost",
        "Δm",
    ]
    label = f"{TRADE}.querySelector('.plot').getAttribute('aria-label')"
    assert "No method beats ls, mgda, taskforce in both" in rooms.run(label)
    assert "not drawn: uw" in rooms.run(f"{TRADE}.textContent")
    before = ink(rooms, TRADE)
    change(rooms, f"{boxes}[0]", "box.value = 'metric 0'")
    assert "Lower right is better" in rooms.run(f"{TRADE}.textContent")
    assert "No method beats taskforce in both" in rooms.run(label)
    assert ink(rooms, TRADE) != before
    change(rooms, f"{TRADE}.querySelector('input')", "box.checked = true")
    assert f"rlw-{EVIL_VARIANT}" in rooms.run(label)


def test_the_matrix_shows_means_in_view_and_chooses_pairs(rooms: Chromium) -> None:
    cells = f"[...{GRADIENTS}.querySelectorAll('.cosines button')]"
    assert len(rooms.run(f"{cells}.map((node) => node.textContent)")) == 3
    before, whole = (
        ink(rooms, GRADIENTS),
        rooms.run(f"{cells}.map((node) => node.textContent)"),
    )
    rooms.run(f"{cells}[0].focus()")
    rooms.press("\r")
    rooms.settle()
    assert rooms.run(f"{cells}[0].ariaPressed") == "false"
    assert rooms.run(f"document.activeElement === {cells}[0]")
    after = ink(rooms, GRADIENTS)
    assert (after[0] != before[0], after[1]) == (True, before[1])
    rooms.run(f"{GRADIENTS}.querySelector('.plot').focus()")
    for _ in range(4):
        rooms.press("+")
    rooms.settle()
    assert rooms.run(f"{cells}.map((node) => node.textContent)") != whole


def test_a_table_is_copied_as_it_is_shown(rooms: Chromium, page: Path) -> None:
    rooms.call("Emulation.setFocusEmulationEnabled", enabled=True)
    rooms.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    table = "document.querySelector('#panel-data-rooms .comparison')"
    click(rooms, f"{table}.querySelector('input')")  # with variants
    texts = []
    for number in (0, 1):
        button = f"{table}.querySelectorAll('.tools button')[{number}]"
        click(rooms, button)
        rooms.wait_for(f"{button}.textContent === 'Copied'")
        texts.append(rooms.run("navigator.clipboard.readText()"))
    latex, lines = texts[0], list(csv.DictReader(io.StringIO(texts[1])))
    assert [line["method"] for line in lines] == rows(rooms)
    parts = compare_parts(runs_under(find_records(page.parents[1], dataset="rooms"), None))
    sources = {row.name: row for part in parts for row in part.rows}
    for line in lines:
        row = sources[line["method"]]
        for head, spread, decimals in (
            ("Δm [%] ↓", row.score, 2),
            ("Δt [%] ↓", row.delta_t, 2),
            ("Depth abs [m] ↓", row.metrics[2], 3),
        ):
            sd = None if spread is None else spread.sd
            assert line[head] == ("" if spread is None else shown(spread.mean, decimals, head))
            assert line[f"{head} sd"] == ("" if sd is None else f"{sd:.{decimals}f}")
    assert latex.startswith("\\begin{tabular}{lrr")
    assert r"$\Delta$m [\%] $\downarrow$ & " in latex
    assert latex.count(r" \\") == 1 + len(lines)
    assert "rlw-$<$b class=evil$>$\"'\\&ü \\#\\% & " in latex


def shown(value: float, decimals: int, head: str) -> str:
    signed = f"{value:+.{decimals}f}" if head.startswith("Δ") else f"{value:.{decimals}f}"
    return signed if float(signed) else signed.lstrip("+-")


def saved(browser: Chromium, part: str, kind: str, folder: Path) -> bytes:
    """Press the button that saves the first figure of a part, and return the file."""
    folder.mkdir()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    button = f"[...({part}).querySelectorAll('.save button')].find((b) => b.innerText === '{kind}')"
    browser.run(f"{button}.click()")
    end = time.monotonic() + PATIENCE
    while not (found := list(folder.glob(f"*.{kind.lower()}"))):
        assert time.monotonic() < end
        browser.settle()
    return found[0].read_bytes()


def test_figures_are_saved_as_vectors_with_every_name(rooms: Chromium, tmp_path: Path) -> None:
    click(rooms, f"{TRADE}.querySelector('input')")  # with variants
    change(rooms, f"{TRADE}.querySelectorAll('select')[0]", "box.value = 'metric 0'")
    figure = ElementTree.fromstring(saved(rooms, TRADE, "SVG", tmp_path / "points"))
    texts = [node.text for node in figure.iter("{http://www.w3.org/2000/svg}text")]
    wanted = f"[...{HEAT}.querySelectorAll('tbody th')].map((th) => th.children[1].textContent)"
    names = set(rooms.run(wanted)) - {"uw"}
    assert {*names, f"rlw-{EVIL_VARIANT}"} <= set(texts)
    assert "Δm against Seg <b class=evil> miou" in texts


def test_saved_curves_have_bands_a_legend_and_the_zoom(rooms: Chromium, tmp_path: Path) -> None:
    whole = ElementTree.fromstring(saved(rooms, TRAINING, "SVG", tmp_path / "whole"))
    drawn = list(whole.iter("{http://www.w3.org/2000/svg}path"))
    count = rooms.run(f"{TRAINING}.querySelectorAll('.key[aria-pressed=true]').length")
    assert sum("fill-opacity" in path.attrib for path in drawn) == 3  # of three seeds each
    labels = [node.text for node in whole.iter("{http://www.w3.org/2000/svg}text")]
    assert {"stl", "ls", "taskforce"} <= set(labels)
    assert sum(path.get("fill") == "none" for path in drawn) >= count
    rooms.run(f"{TRAINING}.querySelector('.plot').focus()")
    rooms.press("+")
    rooms.settle()
    zoomed = ElementTree.fromstring(saved(rooms, TRAINING, "SVG", tmp_path / "zoomed"))
    assert [node.text for node in zoomed.iter("{http://www.w3.org/2000/svg}text")] != labels


@pytest.mark.parametrize("part", [TRADE, HEAT])
def test_figures_are_saved_as_pixels(rooms: Chromium, tmp_path: Path, part: str) -> None:
    png = saved(rooms, part, "PNG", tmp_path / "files")
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert width > 600
    assert height > 300
    assert width % 2 == height % 2 == 0


def test_hostile_text_stays_text(rooms: Chromium) -> None:
    for tab in TABS:
        click(rooms, f"document.getElementById('tab-{tab}')")
    rooms.run("document.querySelectorAll('details').forEach((node) => (node.open = true))")
    rooms.settle()
    rooms.settle()
    assert rooms.run("document.querySelectorAll('.evil, img').length") == 0
    assert rooms.run("typeof evil") == "undefined"
    text = rooms.run("document.body.textContent")
    assert " ".join(EVIL.split()) in text
    assert f"rlw-{EVIL_VARIANT}" in text


def test_runs_are_found_and_open(browser: Chromium, page: Path) -> None:
    browser.show(1280)
    browser.open(page, "runs")
    shown = "[...document.querySelectorAll('#panel-runs .run')]"
    total = len(find_records(page.parents[1]))
    assert browser.run(f"{shown}.length") == total
    change(browser, "document.getElementById('run-filter')", "box.value = 'taskforce seed1'")
    assert browser.run(f"{shown}.map((node) => node.querySelector('.what').textContent)") == [
        "taskforce"
    ]
    click(browser, f"{shown}[0].querySelector('summary')")
    browser.settle()
    assert "protocol" in browser.run(f"{shown}[0].textContent")
    link = browser.run(f"{shown}[0].querySelector('a').href")
    (record,) = find_records(page.parents[1], method="taskforce")[1:2]
    assert link == record.path.resolve().as_uri() + "/"
    change(browser, "document.getElementById('run-filter')", "box.value = ''")
    change(browser, "document.querySelector('#panel-runs select')", "box.value = 'failed'")
    states = browser.run(f"{shown}.map((node) => node.querySelector('.state').textContent)")
    assert sorted(states) == ["failed 0/?", "failed 2/6"]
    assert browser.problems == []


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


@pytest.fixture
def control(browser: Chromium, tmp_path: Path) -> Iterator[Chromium]:
    """The browser, showing runs of critic and actor whose score is the mean success."""
    for label in ("ls", "pcgrad"):
        for seed in (0, 1):
            write_control(tmp_path, label, seed, 1.0 - seed / 4)
    explode(write_control(tmp_path, "pcgrad", 2, done=False))
    page = write_report(tmp_path, "mini", None)
    browser.show(1280)
    browser.open(page, "overview")
    yield browser
    assert browser.problems == []


def test_the_page_of_environments_is_about_success(control: Chromium) -> None:
    panel = "document.querySelector('#panel-overview')"
    told = control.run(f"{panel}.textContent")
    assert "success" in told
    assert "IQM" in told
    assert "simulated environments" in told
    assert "exploded" in told
    control.run("document.querySelector('#tab-data-pendulum6').click()")
    control.settle()
    panel = "document.querySelector('#panel-data-pendulum6')"
    heads = control.run(f"[...{panel}.querySelectorAll('thead button')].map((b) => b.textContent)")
    assert any("95 %" in head for head in heads)
    assert control.run(f"{panel}.textContent.includes('Upper left is better')")
    heat = (
        f"[...{panel}.querySelectorAll('section')].find((s) => s.innerText.startsWith('success per"
    )
    cells = f"[...{heat}')).querySelectorAll('tbody .shade')].map((cell) => cell.textContent)"
    assert control.run(cells) == ["0.88", "0.50"] * 2
    assert not control.run("document.querySelector('#page').textContent.includes('Δ')")
    assert all(ink(control, panel))


def test_curves_over_environment_steps_and_steps_of_each_component(control: Chromium) -> None:
    control.run("document.querySelector('#tab-data-pendulum6').click()")
    control.settle()
    section = (
        "[...document.querySelectorAll('#panel-data-pendulum6 section')].find((s) => "
        "s.querySelector('h2').textContent === '{}')"
    )
    training, weights = section.format("Training curves"), section.format("Task weights")

    def box(part: str, label: str) -> str:
        named = f"[...({part}).querySelectorAll('.control')].find((c) => c.textContent.startsWith"
        return f"{named}('{label}')).querySelector('select')"

    titles = f"[...({training}).querySelectorAll('figcaption')].map((c) => c.textContent)"
    assert control.run(titles) == ["test success ↑"]
    before = ink(control, training)
    clocks = f"[...{box(training, 'Over')}.options].map((o) => o.value)"
    assert control.run(clocks) == ["epoch", "environment steps", "CPU minutes"]
    for clock in ("environment steps", "CPU minutes"):
        change(control, box(training, "Over"), f"box.value = '{clock}'")
        assert ink(control, training) != before
    change(control, box(training, "Show"), "box.value = 'loss'")
    assert control.run(titles) == [
        *("near, actor", "near, critic"),
        *("far, actor", "far, critic"),
    ]
    components = f"[...{box(weights, 'Component')}.options].map((o) => o.value)"
    assert control.run(components) == ["actor", "critic"]
    before = ink(control, weights)
    change(control, box(weights, "Component"), "box.value = 'critic'")
    assert ink(control, weights) != before
