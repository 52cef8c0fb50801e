from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.cli import main
from mtl_bench.reporting.page.write import SCRIPTS, STYLES, embedded, write_report
from tests.end_to_end.processes import call_without
from tests.reporting.page.runs import write_profile

ASSETS = files("mtl_bench.reporting.page") / "assets"
OWN = [name for name in SCRIPTS if not name.startswith("uplot/")]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return write_profile(tmp_path_factory.mktemp("page") / "results").parent


def test_the_same_records_give_the_same_page(results: Path, tmp_path: Path) -> None:
    page = write_report(results, None, None)
    assert page == results / "mini" / "report.html"
    first = page.read_bytes()
    page.unlink()
    assert write_report(results, "mini", None).read_bytes() == first


def test_nothing_but_its_own_scripts_and_styles_may_run(results: Path, tmp_path: Path) -> None:
    text = write_report(results, "mini", tmp_path / "deep" / "page.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    blocks = re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["style", "script"]
    for kind, content in blocks:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert text.count("</script>") == 2
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


@given(st.text(st.characters(codec=None)))
def test_data_survives_and_cannot_leave_its_element(text: str) -> None:
    shown = embedded({text: text})
    assert json.loads(shown) == {text: text}
    assert "<" not in shown
    assert shown.isascii()


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES])
def test_assets_can_stand_inside_their_elements(name: str) -> None:
    text = (ASSETS / name).read_bytes().decode()
    assert "</s" not in text.lower()
    assert "\r" not in text  # the browser would hash other bytes


@pytest.mark.parametrize("name", OWN)
def test_our_scripts_never_make_markup_from_text(name: str) -> None:
    text = (ASSETS / name).read_text()
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert sink not in text


def test_the_plotting_library_is_the_one_its_note_describes() -> None:
    note = (ASSETS / "uplot" / "README.md").read_text()
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        digest = hashlib.sha256((ASSETS / "uplot" / name).read_bytes()).hexdigest()
        assert f"| `{name}` | `{digest}` |" in note
    assert "Permission is hereby granted" in (ASSETS / "uplot" / "LICENSE").read_text()


def test_the_library_takes_its_licence_along(results: Path, tmp_path: Path) -> None:
    page = write_report(results, "mini", tmp_path / "page.html")
    assert "Permission is hereby granted" in page.read_text()


def test_the_command_prints_where_the_page_is(results: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "page.html"
    assert main(["report", "profile=mini", f"paths.results={results}", f"output={output}"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.exists()


def test_the_command_does_without_torch_and_hydra(results: Path, tmp_path: Path) -> None:
    words = ("report", f"paths.results={results}", f"output={tmp_path / 'page.html'}")
    done = call_without(("torch", "hydra", "matplotlib"), *words, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr


def test_what_is_not_there_is_named(results: Path, tmp_path: Path, capsys) -> None:
    assert main(["report", f"paths.results={tmp_path}"]) == 2
    assert "mtl-bench train" in capsys.readouterr().err
    assert main(["report", "profile=paper", f"paths.results={results}"]) == 2
    assert "profile=paper" in capsys.readouterr().err
    (tmp_path / "smoke" / "qm9" / "ls" / "seed0-0123abcd").mkdir(parents=True)
    (tmp_path / "mini" / "qm9" / "ls" / "seed0-0123abcd").mkdir(parents=True)
    assert main(["report", f"paths.results={tmp_path}"]) == 2
    assert "has records of: mini, smoke" in capsys.readouterr().err
