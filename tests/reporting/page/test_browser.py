"""The page in a real browser: it draws, sorts, switches, zooms, and asks for nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.page import data
from mtl_bench.reporting.page.write import write_report
from mtl_bench.reporting.statistics import compare_parts, runs_under
from tests.reporting.page.chromium import Chromium
from tests.reporting.page.driving import (
    GRADIENTS,
    NEEDS_CHROMIUM,
    TABS,
    TRAINING,
    WEIGHTS,
    change,
    click,
    ink,
    rows,
)
from tests.reporting.page.runs import EVIL, EVIL_VARIANT

pytestmark = NEEDS_CHROMIUM


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


@pytest.mark.parametrize("width", [1600, 1280, 400])
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
