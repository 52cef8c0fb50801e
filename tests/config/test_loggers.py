"""The loggers' own keys, and the group that an experiment gives a run."""

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError

RUN = ("dataset=qm9", "method=ls", "profile=smoke")


@pytest.mark.parametrize(
    ("overrides", "needles"),
    [
        (("logger=wandb", "logger.mode=loud"), ("logger.mode=loud", "'offline' or 'online'")),
        (("logger=wandb", "logger.every=0"), ("logger.every=0", "greater than or equal to 1")),
        (("logger=tensorboard", "logger.mode=online"), ("unknown key logger.mode", "logger.every")),
        (("logger.every=3",), ("unknown key logger.every", "logger.progress")),
        (("+logger.every=3",), ("unknown key logger.every",)),
        (("logger=mlflow",), ("logger=mlflow", "console, tensorboard, wandb")),
    ],
)
def test_a_mistake_names_key_and_remedy(overrides, needles):
    with pytest.raises(ConfigError) as info:
        compose_config([*RUN, *overrides])
    for needle in needles:
        assert needle in str(info.value)


def test_no_key_of_a_logger_changes_a_number():
    plain = compose_config(RUN)
    other = compose_config(
        [*RUN, "logger=wandb", "logger.mode=online", "logger.project=p", "logger.entity=e"]
    )
    assert config_hash(plain) == config_hash(other)
    assert {key for key in plain if plain[key] != other[key]} == {"logger"}


@pytest.mark.parametrize(
    ("overrides", "group"),
    [
        ((), None),
        (("experiment=table3",), "table3"),
        (("experiment=table3", "logger.group=mine"), "mine"),
    ],
)
def test_runs_of_an_experiment_share_a_group(overrides, group):
    assert compose_config([*RUN, "logger=wandb", *overrides])["logger"]["group"] == group


def test_the_console_has_no_group():
    config = compose_config([*RUN, "experiment=table3"])
    assert config["logger"] == {"name": "console", "progress": "auto"}
