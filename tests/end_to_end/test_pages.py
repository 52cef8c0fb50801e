"""What README, the pages and the help of each command tell a user to type, typed."""

import ast
import re
import shlex
import subprocess
import sys

import pytest

from tests.end_to_end.processes import ENVIRONMENT, ROOT, call

PAGES = (
    *("README.md", "docs/guide.md", "docs/control.md", "docs/faq.md", "docs/methods.md"),
    "docs/game.md",
)
TINY_QM9 = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for own, block in found if own == language]


def lines(page):
    """Return the page's commands, each once, in its order."""
    text = "\n".join(block.replace("\\\n", " ") for block in blocks(page, ""))
    return list(dict.fromkeys(re.findall(r"^((?:mtl-bench|make) [^#\n]*)", text, re.MULTILINE)))


COMMANDS = [(page, line.strip()) for page in PAGES for line in lines(page)]


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    """A folder in which a run of profile smoke is finished."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "data").mkdir()
    (folder / "data" / "qm9").symlink_to(tiny_data / "qm9")
    for dataset, *sizes in (("qm9", *TINY_QM9), ("pendulum6",)):
        done = call("train", f"dataset={dataset}", "profile=smoke", "method=ls", *sizes, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def as_smoke(words):
    """Return the words of a command as they are typed here: small, and without a download."""
    words = ["profile=smoke" if word.startswith("profile=") else word for word in words]
    if words[0] in ("data", "toy", "game", "grams", "wandb"):
        return [*words, "--help"]
    if words[0] == "train" and ("-m" in words or any("experiment=" in word for word in words)):
        words = [word for word in words if not word.startswith("seed=")]
        return [*words, "seed=0", "--dry-run"]  # composes and checks every run of the sweep
    if words[0] == "train" and "dataset=qm9" in words:
        return [*words, *TINY_QM9, "trainer.epochs=1"]
    return words


def helps():
    """Return each command with the examples that its help shows."""
    commands = re.findall(r"^    ([a-z]+)", call("--help", cwd=ROOT).stdout, re.MULTILINE)
    told = {name: call(name, "--help", cwd=ROOT).stdout for name in commands}
    return {
        name: re.findall(r"^  ((?:mtl-bench|eval) .*)$", text, re.MULTILINE)
        for name, text in told.items()
    }


@pytest.fixture(scope="module")
def runs(desk):
    """Records for RUN: one of molecules, one that failed, and one of images."""
    made = call("data", "synth", "nyuv2", "train=2", "val=2", "height=64", "width=64", cwd=desk)
    assert made.returncode == 0, made.stderr
    words = {
        "eval": ("dataset=qm9", *TINY_QM9),
        "replay": ("dataset=qm9", *TINY_QM9, "dataset.batch_size=20", "optimizer.lr=1e30"),
        "show": ("dataset=nyuv2", "dataset.train_size=null", "dataset.test_size=null"),
    }
    folders = {}
    for name, own in words.items():
        place = (f"paths.results={name}", "method=ls", "profile=smoke", "trainer.epochs=3")
        done = call("train", *own, *place, cwd=desk)
        assert done.returncode == (name == "replay"), done.stderr
        (folders[name],) = (path.parent for path in (desk / name).rglob("config.yaml"))
    return folders


@pytest.mark.nightly
def test_the_examples_of_every_help_do_what_they_say(desk, runs):
    found = helps()
    assert len(found) > 15
    assert all(len(lines) == 2 for lines in found.values()), found
    for name, lines in found.items():
        run = str(runs.get(name, runs["eval"]))
        for line in lines:
            inner = re.fullmatch(r'eval "\$\(mtl-bench (.*)\)"', line)
            words = shlex.split(inner[1] if inner else line.removeprefix("mtl-bench "))
            done = call(*as_smoke([run if word == "RUN" else word for word in words]), cwd=desk)
            expected = (0, 1) if "--dry-run" in done.args else (0,)
            assert done.returncode in expected, (line, done.stderr)
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(
            *(page, line),
            marks=[] if page == "README.md" else [pytest.mark.nightly],
            id=f"{page}: {line}",
        )
        for page, line in COMMANDS
    ],
)
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


@pytest.mark.nightly
@pytest.mark.parametrize("line", lines("docs/results.md"))
def test_a_command_about_the_committed_records_does_what_it_says(line, tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "results")
    _, *words = shlex.split(line)
    own = ["paths.figures=figures"] if words[0] == "figures" else []
    done = call(*words, *own, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def run_python(file):
    """Run a file in its folder to its end and return what it prints."""
    done = subprocess.run(
        [sys.executable, file.name],
        cwd=file.parent,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_the_readme_learns(tmp_path):
    (code,) = blocks("README.md", "python")
    file = tmp_path / "loop.py"
    file.write_text(f"{code}\nprint(sum(losses).item())\n")
    assert float(run_python(file)) < 0.6  # 2 (1 - 2/π) = 0.73 of predicting the mean
    assert len(code.splitlines()) <= 16


@pytest.mark.nightly
def test_the_search_of_the_guide_searches_and_goes_on(desk):
    pytest.importorskip("optuna")
    (code,) = blocks("docs/guide.md", "python")
    tiny = "".join(f'"{word}", ' for word in (*TINY_QM9, "trainer.epochs=2"))
    code = code.replace('"profile=mini"', f'{tiny} "profile=smoke"')
    (desk / "search.py").write_text(code.replace("n_trials=20", "n_trials=2"))
    for runs in (2, 4):
        done = run_python(desk / "search.py")
        assert set(ast.literal_eval(done.splitlines()[-1])) == {"optimizer.lr", "method.c"}
        assert len([*desk.glob("search/smoke/qm9/cagrad/*/DONE")]) == runs


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
