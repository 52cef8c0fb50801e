"""What README, the pages and the help of each command tell a user to type, typed."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import product

import pytest

from mtl_bench.cli import main
from tests.end_to_end.processes import ENVIRONMENT, ROOT, call

PAGES = (
    *("README.md", "CONTRIBUTING.md", "data/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
RUN_ELSEWHERE = {
    "docs/adding.md": "tests/end_to_end/test_adding.py",
    "docs/own-loop.md": "tests/test_own_loop.py",
}
"""Pages whose commands and code are run by another test."""

RECORDED = "docs/results.md"
"""The page whose commands are about the committed records."""

PROGRAMS = (
    r"(?:mtl-bench|make|python (?:-m (?:benchmarks|tools\.torture|mtl_bench)|scripts/\w+\.py))"
)
COMMAND = re.compile(rf"(?:\$ |time |srun |OMP_NUM_THREADS=1 )?({PROGRAMS}(?: .*|$))")
NOT_TYPED = (  # they install, fetch, serve, or overwrite what is committed
    *("git clone ", "python3 -m venv ", ". .venv/bin/activate", "pip install "),
    *(".venv/bin/pre-commit ", "tensorboard --logdir ", "python -m tests.", "torchrun "),
)
QUICK = ("list", "status", "tables", "figures", "report", "config")
LONG = ("data", "toy", "game", "grams", "wandb")
MODULES = ("benchmarks", "tools.torture", "scripts.wandb_dashboard")
"""What fetches, sends or takes minutes. With one unknown setting more, each complains about that
one alone and does nothing."""

TINY_QM9 = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")
RUNS = {
    "eval": ("dataset=qm9", *TINY_QM9),
    "replay": ("dataset=qm9", *TINY_QM9, "dataset.batch_size=20", "optimizer.lr=1e30"),
    "show": ("dataset=nyuv2", "dataset.train_size=null", "dataset.test_size=null"),
    "export": ("dataset=qm9", *TINY_QM9),
}
"""Commands about a record, and what trains one for them."""


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for own, block in found if own == language]


def shown(page):
    """Return the lines of the page's blocks, each whole and without its comment."""
    text = "\n".join(block.replace("\\\n", " ") for block in blocks(page, ""))
    return [line.partition("  #")[0].strip() for line in text.splitlines() if line]


def inline(page):
    """Return the commands within the page's sentences."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(rf"`({PROGRAMS} [^`]+)`", text)]


def commands(page):
    """Return what the page says to type, choices by ``|`` one by one and no shell around it."""
    found = [match[1] for line in [*shown(page), *inline(page)] if (match := COMMAND.match(line))]
    for line in found:
        words = re.split(r" (?:\|\||&&) ", line)[0].split(" ")
        yield from map(" ".join, product(*(word.split("|") for word in words)))


COMMANDS = {
    line: page
    for page in reversed(PAGES)
    if page not in (*RUN_ELSEWHERE, RECORDED)
    for line in commands(page)
}


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
    if words[0] == "train" and ("-m" in words or any("experiment=" in word for word in words)):
        words = [word for word in words if not word.startswith("seed=")]
        return [*words, "seed=0", "--dry-run"]  # composes and checks every run of the sweep
    if words[0] == "train" and "dataset=qm9" in words:
        return [*words, *TINY_QM9, "trainer.epochs=1"]
    return words


def type_wrongly(name, words, cwd):
    """Check that a command finds fault with the last of its words alone."""
    program = ("-m", "mtl_bench", name) if name in LONG else ("-m", name)
    words = ["qm9" if word == "NAME" else word for word in words]
    done = subprocess.run(
        [sys.executable, *program, *words, "typo=1"],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "typo=1" in done.stderr.splitlines()[-1], done


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
    folders = {}
    for name, own in RUNS.items():
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
            command = inner[1] if inner else line.removeprefix("mtl-bench ")
            words = [run if word == "RUN" else word for word in shlex.split(command)]
            if name in LONG:
                type_wrongly(name, words[1:], desk)
                continue
            done = call(*as_smoke(words), cwd=desk)
            expected = (0, 1) if "--dry-run" in done.args else (0,)
            assert done.returncode in expected, (line, done.stderr)
            assert "Traceback" not in done.stderr


def arguments(line):
    """Return the command or other program of a line, and the words behind it."""
    program, *words = shlex.split(line)
    if program == "python":
        program, *words = words[1:] if words[0] == "-m" else words
        program = program.removesuffix(".py").replace("/", ".")
    name, *words = words if program in ("mtl-bench", "mtl_bench") else [program, *words]
    return name, words


def typed(line, run):
    """Return the words of a line in the smallest size, about a record that is there."""
    name, words = arguments(line)
    committed = [word for word in words if word.startswith("results/")]
    assert all((ROOT / word).is_dir() for word in committed), line
    words = [run if word in ("RUN", *committed) else word for word in words]
    if name in RUNS and run not in words:
        words = [run, *words]
    if name in QUICK[1:-1] and not any(word.startswith("profile=") for word in words):
        words = [*words, "profile=smoke"]
    if name in QUICK:  # what the desk has
        words = [re.sub(r"^method=.*", "method=ls", word) for word in words]
    words = [re.sub(r"^paths\.(results|data)=.*", r"paths.\1=\1", word) for word in words]
    return as_smoke([name, *("step=1" if word == "step=9" else word for word in words)])


@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN_ELSEWHERE])
def test_every_line_of_a_page_is_typed(page):
    """A block of what isn't typed, such as output, says ``text``, and code says its language."""
    missed = [
        line for line in shown(page) if not (COMMAND.match(line) or line.startswith(NOT_TYPED))
    ]
    assert not missed


def is_quick(page, line):
    name, words = arguments(line)
    if name == "figures" and "score" not in words:  # it draws many, which tests/reporting does too
        return False
    return page == "README.md" or name in ("make", *QUICK)


def make_dry(words):
    """Let make say what it would do."""
    dry = ["make", "--dry-run", *words]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(
            *(page, line),
            marks=[] if is_quick(page, line) else [pytest.mark.nightly],
            id=f"{page}: {line}",
        )
        for line, page in COMMANDS.items()
    ],
)
def test_a_command_of_a_page_does_what_it_says(page, line, desk, monkeypatch, request):
    name, words = arguments(line)
    monkeypatch.chdir(desk)
    if name == "make":
        make_dry(["table1" if word == "tableN" else word for word in words])
    elif name in (*LONG, *MODULES):
        type_wrongly(name, words, ROOT)
    elif name in QUICK:
        assert main(typed(line, "RUN")) == 0
    else:
        run = request.getfixturevalue("runs")[name] if name in RUNS else "RUN"
        done = call(*typed(line, str(run)), cwd=desk)
        expected = (0, 1) if "--dry-run" in done.args else (0,)  # 1: runs are missing
        assert done.returncode in expected, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("line", dict.fromkeys(commands(RECORDED)))
def test_a_command_about_the_committed_records_does_what_it_says(line, tmp_path):
    (tmp_path / "results").symlink_to(ROOT / "results")
    name, words = arguments(line)
    if name == "make":
        make_dry(words)
        return
    words = ["selection=last" if word == "selection=..." else word for word in words]
    own = {"figures": ["paths.figures=figures"], "train": ["--dry-run"]}
    done = call(name, *words, *own.get(name, ()), cwd=tmp_path)
    assert done.returncode in ((0, 1) if name == "train" else (0,)), done.stderr
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


@pytest.mark.nightly
def test_the_code_about_records_runs(desk, runs):
    export = ("export", runs["eval"], "--to", "network.safetensors")
    assert call(*export, cwd=desk).returncode == 0
    code = "\n".join(blocks("docs/records.md", "python"))
    code = re.sub(r"results/smoke/qm9/ls/\S+(?=\")", str(runs["eval"]), code)
    code = code.replace("profile == 'mini'", "profile == 'smoke'")
    tiny = "".join(f'"{word}", ' for word in TINY_QM9)
    (desk / "records.py").write_text(code.replace('"method=ls"', f'{tiny}"method=ls"'))
    assert "alpha" in run_python(desk / "records.py")


def test_the_code_of_the_other_pages_runs(tmp_path):
    (loop,), (composed,) = blocks("README.md", "python"), blocks("docs/methods.md", "python")
    (observer,) = blocks("docs/architecture.md", "python")
    loop = loop.replace("range(100)", "range(1)")
    own = "own = [head.parameters() for head in heads]\n"
    losses = re.search(r"    (losses = .*\n)", loop)[1]  # the loop has used up its last ones
    shown = "print(body[0].weight.grad.norm().item())"
    code = "\n".join([loop, own, losses, "optimizer.zero_grad()", composed, observer, shown])
    (tmp_path / "code.py").write_text(code)
    assert float(run_python(tmp_path / "code.py")) > 0


def test_no_page_has_code_that_nothing_runs():
    run_here = {f"docs/{name}.md" for name in ("guide", "records", "methods", "architecture")}
    pages = {page for page in PAGES if blocks(page, "python")}
    assert pages == {"README.md", *run_here, *RUN_ELSEWHERE}


def test_the_extras_that_a_page_installs_are_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for extras in re.findall(r"pip install [^`\n]*\[([\w,-]+)\]", text):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), page


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
