from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl_bench.reporting.page.write import write_report
from tests.records.control import explode, write_control
from tests.reporting.page.chromium import Chromium
from tests.reporting.page.runs import write_profile


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
