"""What `mtl-bench data` offers for a data set, and its settings."""

import pytest

from mtl_bench.datasets.commands import find_command
from mtl_bench.errors import ConfigError

ACTIONS = ("prepare", "synth", "verify")


def test_settings_are_the_positional_parameters():
    _, settings = find_command("qm9", "prepare")
    assert list(settings) == ["source", "raw", "jobs"]
    assert find_command("qm9", "verify")[1] == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "qm8"}, "source=qm8: input should be 'qm9pack' or 'pyg'"),
        ({"jobs": "0"}, "jobs=0: input should be greater than or equal to 1"),
        ({"jobs": "many"}, "jobs=many: input should be a valid integer"),
    ],
)
def test_a_bad_value_is_named(tmp_path, values, message):
    command, _ = find_command("qm9", "prepare")
    with pytest.raises(ConfigError, match=message):
        command(tmp_path / "qm9", values)


def test_an_action_that_a_data_set_lacks_is_named():
    with pytest.raises(ConfigError, match="data synth qm9: qm9 has no such action"):
        find_command("qm9", "synth")


def test_every_action_of_nyuv2_is_found_with_its_settings():
    settings = {action: list(find_command("nyuv2", action)[1]) for action in ACTIONS}
    assert settings == {
        "prepare": ["mat", "normals", "jobs"],
        "synth": ["train", "val", "height", "width", "seed", "jobs"],
        "verify": [],
    }
