"""What README and the pages tell a user to type, typed."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.end_to_end.processes import ENVIRONMENT, ROOT, call, make_desk

PAGES = ("README.md", "docs/guide.md", "docs/control.md", "docs/faq.md")
TINY_QM9 = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(page):
    """Return the page's commands, each once, in its order."""
    text = "\n".join(block.replace("\\\n", " ") for block in blocks(page, ""))
    return list(dict.fromkeys(re.findall(r"^((?:mtl-bench|make) [^#\n]*)", text, re.MULTILINE)))


COMMANDS = [(page, line.strip()) for page in PAGES for line in lines(page)]


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    """A folder in which a run of profile smoke is finished."""
    folder = make_desk(tmp_path_factory, tiny_data)
    for dataset, *sizes in (("qm9", *TINY_QM9), ("pendulum6",)):
        done = call("train", f"dataset={dataset}", "profile=smoke", "method=ls", *sizes, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def as_smoke(words):
    """Return the words of a command as they are typed here: small, and without a download."""
    words = ["profile=smoke" if word.startswith("profile=") else word for word in words]
    if words[0] in ("data", "toy", "game"):
        return [*words, "--help"]
    if words[0] == "train" and "-m" in words:
        return [*words, "--dry-run"]  # composes and checks every run of the sweep
    if words[0] == "train" and "dataset=qm9" in words:
        return [*words, *TINY_QM9, "trainer.epochs=1"]
    return words


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{p}: {line}" for p, line in COMMANDS])
def test_a_command_of_a_page_does_what_it_says(page, line, desk):
    program, *words = shlex.split(line)
    if program == "make":
        done = subprocess.run(
            ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return
    done = call(*as_smoke(words), cwd=desk)
    expected = (0, 1) if "--dry-run" in done.args else (0,)  # 1: runs are missing
    assert done.returncode in expected, done.stderr
    assert "Traceback" not in done.stderr


def test_the_loop_of_the_readme_learns(tmp_path):
    (code,) = blocks("README.md", "python")
    file = tmp_path / "loop.py"
    file.write_text(f"{code}\nprint(sum(losses).item())\n")
    done = subprocess.run(
        [sys.executable, file],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.6  # 2 (1 - 2/π) = 0.73 of predicting the mean
    assert len(code.splitlines()) <= 16


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_links_of_a_page_lead_somewhere(page):
    """Those of docs/ are checked by `make docs`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [t for t in targets if not (ROOT / page).parent.joinpath(t).exists()]
    assert not missing


def test_the_readme_is_short():
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    assert len(words) <= 900
