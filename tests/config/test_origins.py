"""Every value of a configuration is where its origin says, and its words make it again."""

import json
import shlex

import pytest
import yaml

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import GROUPS, find_config_folder
from mtl_bench.config.origins import trace_config

COSINE = "{_target_: torch.optim.lr_scheduler.CosineAnnealingLR, T_max: 5, eta_min: 0}"
SGD = "{_target_: torch.optim.SGD, lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0}"
COMMANDS = {
    "plain": ["dataset=qm9", "method=nashmtl", "profile=mini"],
    "single-task": ["dataset=nyuv2", "method=stl", "profile=smoke", "trainer.epochs=2"],
    "control": ["dataset=mt10", "method=pcgrad", "profile=paper", "protocol=paco"],
    "replaced": [
        *("dataset=qm9", "method=ls", "profile=mini", "~scheduler", f"+scheduler={COSINE}"),
        *("~optimizer", f"+optimizer={SGD}"),
    ],
    "deleted": ["dataset=qm9", "method=ls", "profile=mini", "~scheduler", "+scheduler=null"],
    "ablation": ["dataset=qm9", "ablation=noise_0.1", "profile=demo", "method.buffer_size=100"],
    "texts": [
        *("dataset=qm9", "method=ls", "profile=mini", "variant='1.5'", "label='a, b \"c\"'"),
        *("paths.results='a b'", "architecture=pyg", "architecture.network=torch_geometric.nn.GIN"),
        "architecture.arguments={hidden_channels: 64}",
    ],
}


@pytest.mark.parametrize("overrides", COMMANDS.values(), ids=COMMANDS)
def test_the_lines_pasted_make_the_same_configuration(overrides):
    config, settings = trace_config(overrides)
    assert config == compose_config(overrides)
    words = shlex.split(" \n".join(setting.line for setting in settings), comments=True)
    assert words == [setting.word for setting in settings if setting.word]
    assert compose_config(words) == config


@pytest.mark.parametrize("overrides", COMMANDS.values(), ids=COMMANDS)
def test_a_value_stands_where_its_origin_says(overrides):
    checked = 0
    for setting in trace_config(overrides)[1]:
        *_, last = setting.origin.split(", ")
        key, _, file = last.rpartition(" of ")
        if file == "command line":
            typed = [word.lstrip("+~").partition("=")[0] for word in overrides]
            assert any(f"{key or setting.key}.".startswith(f"{own}.") for own in typed)
            continue
        if setting.key in GROUPS.values():
            assert file == f"configs/{setting.key}/{setting.value}.yaml"
            continue
        held = yaml.safe_load((find_config_folder().parent / file).read_text())
        parts = (key or setting.key).split(".")
        for part in parts if parts[0] in held else parts[1:]:
            held = held[part]
        if "${" not in str(held) and setting.key != "dataset.root":  # a folder below paths.data
            assert setting.value == (float(held) if isinstance(setting.value, float) else held)
            checked += 1
    assert checked > 20


def test_a_value_that_was_typed_replaces_what_a_file_looks_up():
    words = ["dataset=qm9", "method=ls", "profile=mini"]
    lookup = "configs/dataset/qm9.yaml, profile.qm9.epochs of"
    for more, origin in (
        ([], f"{lookup} configs/profile/mini.yaml"),
        (["profile.qm9.epochs=3"], f"{lookup} command line"),
        (["trainer.epochs=3"], "command line"),
    ):
        settings = {setting.key: setting for setting in trace_config([*words, *more])[1]}
        assert settings["trainer.epochs"].origin == origin
    (demo,) = (s for s in trace_config([*words[:2], "profile=demo"])[1] if s.key == "dataset.root")
    assert demo.origin == "configs/dataset/qm9.yaml, paths.data of configs/train.yaml"


def test_it_is_printed_for_machines_too(capsys):
    words = ["dataset=qm9", "method=ls", "profile=smoke"]
    assert main(["config", *words, "--yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == compose_config(words)
    assert main(["config", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trainer.epochs"]["value"] == 10
    assert told["trainer.epochs"]["origin"].endswith("configs/profile/smoke.yaml")
    assert main(["config", *words]) == 0
    assert "seed=0 " in capsys.readouterr().out
    assert main(["config", *words, "trainer.epoch=1"]) == 2
    assert "did you mean trainer.epochs?" in capsys.readouterr().err
