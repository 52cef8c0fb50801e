"""Commands in messages."""

from pathlib import Path

import pytest

from mtl_bench.datasets.cityscapes_prepare import prepare
from mtl_bench.datasets.qm9 import require_enough
from mtl_bench.datasets.remedies import data_words
from mtl_bench.errors import DataError


def test_a_command_names_the_data_folder_where_it_is_another():
    assert data_words("synth", "nyuv2", Path("data/nyuv2")) == "mtl-bench data synth nyuv2"
    assert (
        data_words("prepare", "nyuv2", Path("/a b/nyuv2"), "mat=FILE")
        == "mtl-bench data prepare nyuv2 mat=FILE 'paths.data=/a b'"
    )


def test_a_data_command_that_finds_nothing_names_its_own_folder(tmp_path):
    with pytest.raises(DataError, match=f"`mtl-bench data synth cityscapes paths.data={tmp_path}`"):
        prepare(tmp_path / "cityscapes")


def test_a_part_of_qm9_is_built_anew_where_it_is(tmp_path):
    with pytest.raises(DataError, match=f"`mtl-bench data prepare qm9 paths.data={tmp_path}`"):
        require_enough(20_000, tmp_path / "qm9")
