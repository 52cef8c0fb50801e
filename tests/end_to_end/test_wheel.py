"""The wheel, installed outside the repository: what is in it, and that it works alone."""

import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.end_to_end.processes import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the wheel's contents, as pip unpacks them."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(site, folder, *words):
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(site):
    assert sorted(path.name for path in site.iterdir() if "dist-info" not in path.name) == [
        "mtl_bench"
    ]
    rooms = {path.name for path in (site / "mtl_bench").iterdir()}
    assert {"py.typed", "__init__.pyi", "configs", "published", "toy", "testing"} <= rooms
    assert not any("torture" in path.name for path in site.rglob("*"))


@pytest.mark.parametrize("words", [["--help"], ["list", "methods"], ["toy", "steps=40"]])
def test_commands_work(site, tmp_path, words):
    origin = "import mtl_bench; print(mtl_bench.__file__)"
    assert python(site, tmp_path, "-c", origin).startswith(str(site))
    shown = python(site, tmp_path, "-m", "mtl_bench", *words)
    assert {"--help": "train", "list": "nashmtl", "toy": "toy.png"}[words[0]] in shown
    assert (tmp_path / "results" / "toy" / "toy.png").exists() == (words[0] == "toy")


def test_the_loop_of_the_documentation_runs(site, tmp_path):
    page = (ROOT / "docs" / "own-loop.md").read_text()
    (tmp_path / "loop.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    python(site, tmp_path, "loop.py")
