"""A protocol's constants of one method reach that method and no other run."""

from pathlib import Path

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError

RECORDS = sorted(Path(__file__).parents[2].glob("results/mini/*/*/seed*-????????"))


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


def test_records_are_kept():
    assert RECORDS


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_records_that_are_kept_are_still_found(record):
    seed, _, digest = record.name.removeprefix("seed").partition("-")
    dataset = f"dataset={record.parents[1].name}"
    method, _, variant = record.parent.name.partition("-")
    ablation, _, every = variant.partition("every_")
    if every:
        words = ["ablation=every", f"method.update_every={every}"]
    else:
        words = [f"ablation={ablation}" if variant else f"method={method}"]
    config = compose_config([dataset, "profile=mini", *words, f"seed={seed}"])
    assert config_hash(config) == digest


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.cagrad.c=-1", "protocol.cagrad.c=-1"),
        ("protocol.cagrad.d=1", "did you mean protocol.cagrad.c"),
        ("protocol.uw.form=x", "protocol.uw.form=x"),
    ],
)
def test_mistakes_in_a_section_are_found_whatever_the_method(override, message):
    with pytest.raises(ConfigError, match=message):
        compose_config(["dataset=qm9", "method=ls", override])
