"""Commands in messages are read by a shell, and then by every command, as they are meant."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.advice import command, data_command, setting
from mtl_bench.config.compose import compose_config
from mtl_bench.datasets.cityscapes.prepare import prepare
from mtl_bench.datasets.qm9.dataset import require_enough
from mtl_bench.errors import DataError
from mtl_bench.words import parse_settings

FOLDERS = ("r/a,b", "it's", 'say "x"', "a b", "a\\", "\\\\${x}", "$HOME", "`ls`", "a=b", "é", "7")


@settings(max_examples=400)
@given(st.text(alphabet="ab7\\'\"${}=, é()[]~#:", min_size=1, max_size=7))
def test_a_folder_of_any_name_is_read_back(folder):
    (word,) = shlex.split(command(paths__figures=folder))[1:]
    assert parse_settings([word], paths__figures=None)["paths.figures"] == folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_shell_and_a_training_read_it_back(folder):
    line = command("dataset=qm9", "method=ls", profile="smoke", paths__results=folder)
    printed = subprocess.run(
        ["sh", "-c", line.replace("mtl-bench", r"printf '%s\0'", 1)], capture_output=True, text=True
    ).stdout
    assert compose_config(printed.split("\0")[:-1])["paths"]["results"] == folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.threads", None),
        ("trainer.threads", 2),
        ("debug", True),
        ("optimizer.lr", 1e-05),
        ("optimizer.betas", [0.5, 0.75]),
        ("variant", "1.5"),
        ("variant", "null"),
    ],
)
def test_a_value_keeps_its_type(key, value):
    config = compose_config(["dataset=qm9", "method=ls", "profile=smoke", setting(key, value)])
    for part in key.split("."):
        config = config[part]
    assert config == value
    assert type(config) is type(value)


def test_the_usual_folders_are_left_out():
    assert command("tables", paths__results=Path("results")) == "mtl-bench tables"
    assert data_command("synth", "nyuv2", Path("data/nyuv2")) == "mtl-bench data synth nyuv2"
    assert (
        data_command("prepare", "nyuv2", Path("/a b/nyuv2"), mat="FILE")
        == "mtl-bench data prepare nyuv2 mat=FILE 'paths.data=\"/a b\"'"
    )


def test_a_data_command_that_finds_nothing_names_its_own_folder(tmp_path):
    with pytest.raises(DataError, match=f"`mtl-bench data synth cityscapes paths.data={tmp_path}`"):
        prepare(tmp_path / "cityscapes")


def test_a_part_of_qm9_is_built_anew_where_it_is(tmp_path):
    with pytest.raises(DataError, match=f"`mtl-bench data prepare qm9 paths.data={tmp_path}`"):
        require_enough(20_000, tmp_path / "qm9")
