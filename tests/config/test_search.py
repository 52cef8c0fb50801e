"""Files of configs are parsed once, until they change."""

import pytest
from hydra.plugins.config_source import ConfigLoadError

from mtl_bench.config.search import ParsedFiles


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    file = tmp_path / "train.yaml"
    file.write_text("# @package _global_\na: 1\n")
    source = ParsedFiles("main", str(tmp_path))
    first = source.load_config("train")
    first.config.a = 5
    first.header["package"] = "changed"
    with monkeypatch.context() as patched:
        patched.setattr("omegaconf.OmegaConf.load", None)
        again = source.load_config("train")
    assert (again.config.a, again.header["package"]) == (1, "_global_")
    file.write_text("a: 23\n")
    assert source.load_config("train").config.a == 23
    file.unlink()
    with pytest.raises(ConfigLoadError, match=r"train\.yaml"):
        source.load_config("train")
