"""Tables and figures that leave the page, in a real browser."""

from __future__ import annotations

import csv
import io
import struct
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.statistics import compare_parts, runs_under
from tests.reporting.page.chromium import PATIENCE, Chromium
from tests.reporting.page.driving import (
    HEAT,
    NEEDS_CHROMIUM,
    TRADE,
    TRAINING,
    change,
    click,
    rows,
)
from tests.reporting.page.runs import EVIL_VARIANT

pytestmark = NEEDS_CHROMIUM


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
