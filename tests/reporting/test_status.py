from __future__ import annotations

import fcntl
import io
import os
from pathlib import Path

from rich.console import Console

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.status import render_status
from tests.records.synthetic import qm9_tasks, scaled, unseal, write_record

HOMO = {"values": scaled(2.0, "homo"), "tasks": qm9_tasks("homo")}


def test_the_whole_page(tmp_path: Path) -> None:
    for seed in range(3):
        write_record(tmp_path, "ls", seed, **HOMO)
    write_record(tmp_path, "taskforce", 0, **HOMO)
    running = write_record(tmp_path, "taskforce", 1, done=False, epochs_done=12)
    write_record(tmp_path, "mgda", 0, done=False, epochs_done=7)
    write_record(tmp_path, "mgda", 2, done=False, epochs_done=3, error="loss of homo is nan")
    write_record(tmp_path, "ls", 4, profile="smoke", **HOMO)
    descriptor = os.open(running / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    text = render_status(find_records(tmp_path)).plain
    os.close(descriptor)
    assert text == (
        "mini / qm9\n"
        "           seed 0            seed 1         seed 2\n"
        "stl        missing           missing        missing\n"
        "ls         done              done           done\n"
        "mgda       interrupted 7/30  missing        failed 3/30\n"
        "taskforce  done              running 12/30  missing\n"
        "4 finished, 1 running, 1 failed, 1 interrupted, 5 missing\n"
        "mgda seed2-0002abcd: loss of homo is nan\n"
        "\n"
        "smoke / qm9\n"
        "     seed 4\n"
        "stl  missing\n"
        "ls   done\n"
        "1 finished, 1 missing\n"
        "\n"
        "The same train command again resumes what was interrupted and retries what failed."
    )


def test_records_without_hashes_are_told(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, **HOMO)
    assert "unsealed" not in render_status(find_records(tmp_path)).plain
    unseal(write_record(tmp_path, "ls", 1, **HOMO))
    text = render_status(find_records(tmp_path)).plain
    assert "ls   done     done unsealed\n2 finished (1 unsealed), 2 missing\n" in text
    assert "unsealed: DONE holds no hashes" in text


def test_two_configurations_of_one_seed_share_a_cell(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, hash8="aaaaaaaa", **HOMO)
    write_record(tmp_path, "ls", 0, hash8="bbbbbbbb", done=False, epochs_done=1)
    assert "ls   done, interrupted 1/30\n" in render_status(find_records(tmp_path)).plain


def test_many_seeds_go_into_several_grids(tmp_path: Path) -> None:
    for seed in range(12):
        write_record(tmp_path, "ls", seed, **HOMO)
    lines = render_status(find_records(tmp_path), width=60).plain.splitlines()
    assert max(map(len, lines)) <= 60
    heads = [line for line in lines if line.lstrip().startswith("seed")]
    assert len(heads) == 2
    assert " ".join(" ".join(heads).split()) == " ".join(f"seed {k}" for k in range(12))


def test_colour_only_on_a_terminal(tmp_path: Path) -> None:
    write_record(tmp_path, "ls", 0, done=False, error="x" * 300)
    text = render_status(find_records(tmp_path))
    pipe, screen = io.StringIO(), io.StringIO()
    Console(file=pipe, force_terminal=False).print(text, soft_wrap=True)
    Console(file=screen, force_terminal=True, _environ={}).print(text, soft_wrap=True)
    assert pipe.getvalue() == text.plain + "\n"
    assert "\x1b[" in screen.getvalue()
