"""A protocol's constants of one method reach that method and no other run."""

import math
from functools import cache

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError


def method_of(*overrides):
    config = compose_config(["dataset=qm9", "profile=smoke", *overrides])
    assert set(config["protocol"]) == {"name", "head_weighting", "selection", "last_k"}
    return config["method"]


@pytest.mark.parametrize(
    ("method", "field", "nash", "aligned"),
    [
        ("uw", "form", "regression", "classification"),
        ("uw", "learning_rate", 0.025, 0.001),
        ("mgda", "scale", "tasks", "one"),
        ("mgda", "head_weighting", "weighted", "unweighted"),
        ("pcgrad", "permutation", "each", "shared"),
        ("pcgrad", "head_weighting", "unweighted", "unweighted"),
        ("cagrad", "c", 0.4, 0.5),
        ("cagrad", "rescale", 1, 0),
        ("cagrad", "scale", "tasks", "one"),
        ("nashmtl", "max_norm", 1.0, None),
        ("rlw", "head_weighting", "weighted", "weighted"),
        ("igbv2", "head_weighting", "weighted", "weighted"),
    ],
)
def test_each_protocol_sets_its_variant(method, field, nash, aligned):
    assert method_of(f"method={method}", "protocol=nash")[field] == nash
    assert method_of(f"method={method}", "protocol=aligned")[field] == aligned


def test_the_rate_of_uw_follows_the_optimizer_under_aligned():
    section = method_of("method=uw", "protocol=aligned", "optimizer.lr=0.5")
    assert section["learning_rate"] == 0.5


def test_a_constant_changes_the_hash_of_its_own_method_alone():
    def digest(*overrides):
        return config_hash(compose_config(["dataset=qm9", "profile=mini", *overrides]))

    assert digest("method=cagrad", "protocol.cagrad.c=0.7") == digest(
        "method=cagrad", "method.c=0.7"
    )
    assert digest("method=cagrad", "protocol.cagrad.c=0.7") != digest("method=cagrad")
    assert digest("method=ls", "protocol.cagrad.c=0.7") == digest("method=ls")


PROTOCOLS = ("metaworld", "mtrl", "paco", "pcgrad")


@cache
def config_of(protocol):
    return compose_config(["dataset=mt10", "method=pcgrad", f"protocol={protocol}"])


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "dataset.reward_version": ("v2", "v1", "v2", "v1"),
        "dataset.reward_rate": (None, 1e-3, None, None),
        "dataset.goals": (50, 1, 50, 1),
        "dataset.horizon": (500, 150, 150, 150),
        "architecture.hidden": ([400] * 3, [400] * 3, [400] * 3, [160] * 6),
        "architecture.initialization": ("he", "xavier", "he", "xavier"),
        "algorithm.random_episodes": (8, 10, 10, 10),
        "algorithm.buffer_size": (10**5, 10**5, 10**6, 10**6),
        "algorithm.temperature_loss": ("log_alpha", "alpha", "log_alpha", "log_alpha"),
        "algorithm.temperature_lr": (None, None, 1e-4, None),
        "algorithm.greatest_temperature": (None, None, 1.0, None),
        "algorithm.log_std": ("clip", "tanh", "clip", "clip"),
        "algorithm.log_std_bounds": ([-20, 2], [-20, 2], [-10, 2], [-20, 2]),
        "algorithm.largest_loss": (1e8,) * 4,
        "trainer.clip_norm": (1.0, None, None, None),
        "optimizer.eps": (1e-5, 1e-8, 1e-8, 1e-8),
        "optimizer.lr": (3e-4,) * 4,
        "method.permutation": ("shared", "shared", "shared", "each"),
        "protocol.selection": ("last",) * 4,
    }.items(),
)
def test_each_protocol_of_reinforcement_learning_has_its_constants(key, values):
    section, _, name = key.partition(".")
    assert tuple(config_of(protocol)[section][name] for protocol in PROTOCOLS) == values


def test_paco_aims_at_the_entropy_of_a_tenth_of_each_range():
    entropy = config_of("paco")["algorithm"]["target_entropy"]
    assert entropy == pytest.approx(math.log(0.1 * 2), abs=1e-7)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_million_steps_of_each_task_are_the_published_length(protocol):
    config = config_of(protocol)
    episodes = config["trainer"]["epochs"] * config["algorithm"]["epoch_episodes"]
    steps = episodes * config["dataset"]["horizon"]
    assert steps == pytest.approx(2e6, rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "protocol", "allowed"),
    [
        *(("pendulum6", name, "metaworld, mtrl, paco, pcgrad") for name in ("nash", "aligned")),
        *(("qm9", name, "aligned, nash") for name in ("metaworld", "mtrl", "paco", "pcgrad")),
    ],
)
def test_a_protocol_of_another_algorithm_is_refused(dataset, protocol, allowed):
    with pytest.raises(ConfigError, match=rf"^protocol={protocol} .*; allowed: {allowed}$"):
        compose_config([f"dataset={dataset}", "method=ls", f"protocol={protocol}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.cagrad.c=-1", "protocol.cagrad.c=-1"),
        ("protocol.cagrad.d=1", "did you mean protocol.cagrad.c"),
        ("protocol.uw.form=x", "protocol.uw.form=x"),
        ("+protocol.metaworld.horizon=0", "protocol.metaworld.horizon=0"),
        ("+protocol.sac.epochs=1", "unknown key protocol.sac.epochs"),
    ],
)
def test_mistakes_in_a_section_are_found_whatever_the_method(override, message):
    with pytest.raises(ConfigError, match=message):
        compose_config(["dataset=qm9", "method=ls", override])
