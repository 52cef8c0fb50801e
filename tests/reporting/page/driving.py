"""What the tests of the page in a browser share: where things are, and what a reader does."""

from __future__ import annotations

import pytest

from tests.reporting.page.chromium import EXECUTABLE, Chromium

NEEDS_CHROMIUM = pytest.mark.skipif(
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
