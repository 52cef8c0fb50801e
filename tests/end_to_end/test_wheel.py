"""The wheel, installed into an environment outside the repository: what is in it, and it works."""

import os
import re
import subprocess
import sys
import sysconfig

import pytest

from tests.end_to_end.processes import ROOT


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new environment with the wheel; its dependencies are those of this one, to be quick."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    new = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", new], check=True)
    pip = [sys.executable, "-m", "pip", "--python", new / "bin" / "python", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", wheel], cwd=folder, check=True)
    (packages,) = new.glob("lib/python*/site-packages")
    # a path alone: what is installed as editable in it is not followed
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return new


def run(environment, folder, program, *words):
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [environment / "bin" / program, *words],
        cwd=folder,
        env=variables | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(environment):
    (packages,) = environment.glob("lib/python*/site-packages")
    assert sorted(path.name for path in packages.iterdir() if "dist-info" not in path.name) == [
        *("dependencies.pth", "mtl_bench")
    ]
    rooms = {path.name for path in (packages / "mtl_bench").iterdir()}
    assert {"py.typed", "__init__.pyi", "configs", "published", "toy", "testing"} <= rooms
    assert not any("torture" in path.name for path in packages.rglob("*"))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("--help", "train"),
        ("list methods", "nashmtl"),
        ("config dataset=qm9 method=pcgrad profile=mini", "method.permutation=each"),
        pytest.param("toy steps=2", "toy.png", marks=pytest.mark.nightly),
    ],
)
def test_the_program_works(environment, tmp_path, line, shown):
    assert shown in run(environment, tmp_path, "mtl-bench", *line.split())
    assert (tmp_path / "results" / "toy" / "toy.png").exists() == line.startswith("toy")


def test_the_loop_of_the_readme_trains_with_torch_and_numpy_alone(environment, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    tell = "import sys, mtl_bench\nprint(mtl_bench.__file__, sum(losses).item(), *sys.modules)"
    (tmp_path / "loop.py").write_text(f"{code}\n{tell}")
    file, loss, *modules = run(environment, tmp_path, "python", "loop.py").split()
    assert file.startswith(str(environment))
    assert float(loss) < 0.6  # 2 (1 - 2/π) = 0.73 of predicting the mean
    assert len(code.splitlines()) <= 16
    assert "torch" in modules
    assert not {"hydra", "omegaconf", "pydantic", "pyarrow", "rich"} & set(modules)
