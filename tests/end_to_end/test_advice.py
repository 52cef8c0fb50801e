"""The commands that messages advise are typed as they stand, and do what the messages say."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.end_to_end.processes import ENVIRONMENT, bound_by_permissions, call
from tests.end_to_end.test_command_line import TINY
from tests.records.synthetic import qm9_tasks, scaled, write_record

RESULTS = "r/it's, new"
WHERE = ('paths.data="my, data"', f'paths.results="{RESULTS}"')
ADVICE = re.compile("`(mtl-bench [^`]*)`|^  (mtl-bench .*)$", re.MULTILINE)


@pytest.fixture
def desk(tiny_data, tmp_path):
    """A folder to type commands in, with data and results in folders of unusual names."""
    (tmp_path / "my, data").symlink_to(tiny_data)
    program = tmp_path / "bin" / "mtl-bench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mtl_bench "$@"\n')
    program.chmod(0o755)
    return tmp_path


def type_in(line, desk):
    """Have a shell carry out a line; return what it printed."""
    path = f"{desk / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"
    done = subprocess.run(
        line,
        shell=True,
        cwd=desk,
        env=ENVIRONMENT | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done
    assert "already finished" not in done.stdout
    return done.stdout


def advised(text):
    return ["".join(groups) for groups in ADVICE.findall(text)]


def quoted(words):
    return " ".join(f"'{word}'" for word in words).replace("it's", "it'\\''s")


@pytest.mark.nightly
def test_from_the_first_run_to_the_whole_table_by_what_is_advised(desk):
    told = type_in(f"mtl-bench {quoted((*TINY, 'trainer.epochs=2', *WHERE))}", desk)
    tables, status = advised(told)
    assert "1 finished" in type_in(status, desk)
    shown = type_in(tables, desk)
    assert "no Δm without STL runs" in shown
    (train_stl,) = advised(shown)
    assert "dataset.train_size=40" in train_stl
    type_in(train_stl, desk)
    shown = type_in(tables, desk)
    assert advised(shown) == []
    assert re.search(r"^\| Δm .*\| +0\.00 \| +[-+]\d+\.\d\d \|$", shown, re.MULTILINE)


@pytest.mark.nightly
def test_what_a_figure_lacks_is_made_by_what_it_advises(desk):
    type_in(f"mtl-bench {quoted((*TINY, 'trainer.epochs=2', *WHERE))}", desk)
    figure = f"mtl-bench figures gradients {quoted(WHERE[1:])}"
    told = type_in(figure, desk)
    assert "no method here computed the Gram matrix" in told
    (train,) = advised(told)
    assert "2 of 2 runs are finished" in type_in(train, desk)
    assert advised(type_in(figure, desk)) == []

    part, _ = sorted((desk / RESULTS).glob("smoke/qm9/mgda/*/steps/*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    told = type_in(figure, desk)
    assert f"{part.name} can't be read" in told
    (again,) = advised(told)
    shutil.move(part.parents[1], desk / "away")
    type_in(again, desk)
    assert part.exists()
    assert advised(type_in(figure, desk)) == []


@pytest.mark.parametrize(
    "words",
    [
        ("tables", "paths.tables=locked/t"),
        ("report", "output=locked/page.html"),
        ("data", "synth", "nyuv2", "train=1", "val=1", "paths.data=locked/d"),
    ],
)
def test_a_folder_that_cant_be_written_names_the_setting_for_another(words, tmp_path):
    tasks = qm9_tasks("homo")
    write_record(tmp_path / "results", "ls", 0, values=scaled(1.0, "homo"), tasks=tasks)
    (tmp_path / "locked").mkdir(mode=0o555)
    done = call(*words, cwd=tmp_path, before=bound_by_permissions)
    assert done.returncode == 1, done
    setting = words[-1].partition("=")[0]
    assert re.fullmatch(
        r"mtl-bench: can't write locked/.*: Permission denied; make the folder writable or give "
        rf"{setting}=(DIR|FILE)",
        done.stderr.splitlines()[-1],
    )
