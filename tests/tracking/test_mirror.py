"""The trainer's side of a dashboard: one line when something is wrong, and no waiting."""

import re
import shlex
import time

from mtl_bench.tracking.dashboard import KINDS
from mtl_bench.tracking.mirror import Mirror, make_mirror


def test_nothing_is_started_without_a_dashboard(tmp_path):
    said = []
    with make_mirror({"name": "console"}, tmp_path, said.append) as mirror:
        mirror.look(1, 10)
    assert said == []


def test_a_process_that_fails_is_named_once_at_the_next_look(tmp_path):
    said = []
    with Mirror(KINDS["tensorboard"], 30, tmp_path / "nowhere", said.append) as mirror:
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            mirror.look(1, 10)
            time.sleep(0.05)
        mirror.look(2, 20)
    (line,) = said
    assert line.startswith("TensorBoard is off: RecordError: ")
    assert "nowhere can't be read" in line
    assert "the record is whole without it" in line


def test_a_process_that_fails_before_the_end_is_named_at_the_end(tmp_path):
    said = []
    record = tmp_path / "a b" / "mini" / "qm9" / "ls-bf16" / "nowhere"
    logger = {"name": "wandb", "mode": "offline", "project": "p", "entity": None, "group": None}
    with make_mirror(logger | {"every": 5}, record, said.append) as mirror:
        mirror.look(1, 10)
    (line,) = said
    assert line.startswith("W&B is off: RecordError: ")
    told = re.search("`(mtl-bench .*)` sends it later$", line)
    assert shlex.split(told[1])[1:] == [
        *("wandb", "sync", "profile=mini", "dataset=qm9", "method=ls-bf16", "mode=offline"),
        *("project=p", "every=5", f'paths.results="{tmp_path / "a b"}"'),
    ]


def test_one_that_is_not_ready_is_ended(tmp_path):
    said = []
    mirror = Mirror(KINDS["wandb"], 0.0, tmp_path, said.append)
    mirror.look(1, 10)
    begin = time.monotonic()
    mirror.close()
    assert time.monotonic() - begin < 5
    (line,) = said
    assert "it wasn't ready 0 s after the end of the run" in line


def test_a_look_never_waits_for_one_that_reads_nothing(tmp_path):
    """More lines than a pipe holds, before the other process has even imported its modules."""
    mirror = Mirror(KINDS["wandb"], 0.0, tmp_path, lambda _: None)
    begin = time.monotonic()
    for step in range(50_000):
        mirror.look(1, step)
    assert time.monotonic() - begin < 20
    mirror.close()


def test_an_interpreter_that_is_missing_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    said = []
    with Mirror(KINDS["tensorboard"], 5, tmp_path, said.append) as mirror:
        mirror.look(1, 10)
        mirror.look(1, 20)
    (line,) = said
    assert "No such file" in line
