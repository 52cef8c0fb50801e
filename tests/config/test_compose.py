"""Every choice composes, and every mistake is one line that helps."""

import os
import re
from functools import cache

import pytest
import yaml

from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import GROUPS, describe_group, find_config_folder
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError
from mtl_bench.launch.sweep import sweep

DATASETS = tuple(describe_group("dataset"))
ALL_METHODS = tuple(describe_group("method"))
RUN = ("dataset=qm9", "method=ls", "profile=smoke")

TOP_LEVEL = {
    *("seed", "variant", "label", "debug", "dataset", "architecture", "method", "optimizer"),
    *("scheduler", "trainer", "gradients", "protocol", "profile", "logger", "paths", "algorithm"),
}
"""Frozen: scripts and records depend on these keys."""


SIMULATED = ("pendulum6", "metaworld", "mt4", "mt6", "mt10", "mt50")
SHORTHANDS = SIMULATED[2:]
"""Data sets that are metaworld with tasks of their own."""

MUST_SAY = {
    "pyg": {"architecture.network": "torch_geometric.nn.SchNet"},
    "paco_explosion": {"architecture": "paco"},
}
"""Choice -> what it has no default for."""


def choices():
    """Every choice of every group with every data set that it can serve."""
    for group in GROUPS.values():
        for choice in describe_group(group):
            for dataset in DATASETS:
                if dataset in SHORTHANDS and group != "dataset":
                    continue
                network = architecture_of(group, choice)
                if network and dataset not in file_of("architecture", network)["serves"]:
                    continue
                if not fits(group, choice, dataset):
                    continue
                if (group, choice) != ("dataset", choice) or dataset == choice:
                    yield dataset, group, choice


@cache
def file_of(group, choice):
    """What the file of a choice says."""
    return yaml.safe_load((find_config_folder() / group / f"{choice}.yaml").read_text())


def architecture_of(group, choice):
    """The architecture that a choice is or brings, if it is for some data sets alone."""
    if group != "ablation":
        return choice if group == "architecture" else None
    defaults = {k: v for entry in file_of(group, choice)["defaults"] for k, v in entry.items()}
    return defaults.get("override /architecture")


def fits(group, choice, dataset):
    """Whether an algorithm, a protocol with its constants or an experiment is for a data set."""
    simulated = dataset in SIMULATED
    if group == "experiment":
        entries = file_of(group, choice).get("defaults", [])
        defaults = {k: v for entry in entries for k, v in entry.items()}
        return defaults.get("override /dataset", dataset) == dataset
    if group == "algorithm":
        return (choice == "sac") == simulated
    return group != "protocol" or simulated == (choice not in ("nash", "aligned"))


def marked():
    """The first data set of every choice is tested always; of methods, with the profiles below."""
    seen = {("method", choice) for choice in describe_group("method")}
    for dataset, group, choice in choices():
        marks = [pytest.mark.nightly] if (group, choice) in seen else []
        seen.add((group, choice))
        yield pytest.param(dataset, group, choice, marks=marks, id=f"{dataset}-{group}-{choice}")


@pytest.mark.parametrize(("dataset", "group", "choice"), list(marked()))
def test_every_choice_composes_with_what_it_serves(dataset, group, choice):
    own = {"dataset": dataset} if group == "ablation" else {"dataset": dataset, "method": "ls"}
    overrides = own | {group: choice} | MUST_SAY.get(choice, {})
    config = compose_config([f"{key}={value}" for key, value in overrides.items()])
    assert set(config) == TOP_LEVEL
    if group not in ("experiment", "ablation"):
        assert config[group]["name"] == choice


def methods_and_profiles():
    """Every method, with one profile always."""
    profiles = list(describe_group("profile"))
    for number, method in enumerate(describe_group("method")):
        for place, profile in enumerate(profiles):
            always = place == number % len(profiles)
            marks = [] if always else [pytest.mark.nightly]
            yield pytest.param(method, profile, marks=marks, id=f"{method}-{profile}")


@pytest.mark.parametrize(("method", "profile"), list(methods_and_profiles()))
def test_every_method_composes_with_every_profile(method, profile):
    config = compose_config(["dataset=qm9", f"method={method}", f"profile={profile}"])
    assert config["profile"] == {"name": profile}
    assert config["method"]["name"] == method


def test_paper_is_the_default_and_the_published_protocol():
    config = compose_config(["dataset=qm9", "method=ls"])
    assert config["profile"] == {"name": "paper"}
    assert config["trainer"]["epochs"] == 300
    assert config["dataset"]["batch_size"] == 120
    assert config["dataset"]["train_size"] is None
    assert config["architecture"]["dim"] == 64
    assert config["optimizer"]["lr"] == 1e-3
    assert config["protocol"]["selection"] == "best_val"


def test_nyuv2_is_that_of_aligned_mtl():
    config = compose_config(["dataset=nyuv2", "method=ls"])
    assert config["trainer"]["epochs"] == 200
    assert config["dataset"]["batch_size"] == 2
    assert config["dataset"]["drop_last"] is True
    assert config["dataset"]["train_size"] is config["dataset"]["test_size"] is None
    assert config["architecture"]["name"] == "mtan"
    assert config["architecture"]["width"] == 1
    assert config["optimizer"]["lr"] == 1e-4
    assert config["scheduler"] == {
        "_target_": "torch.optim.lr_scheduler.StepLR",
        "step_size": 100,
        "gamma": 0.5,
    }
    assert config["protocol"]["selection"] == "last_k_mean"
    nash = compose_config(["dataset=nyuv2", "method=ls", "protocol=nash"])
    assert nash["dataset"]["drop_last"] is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scheduler.step_size=0", "scheduler.step_size=0: should be greater than or equal to 1"),
        ("scheduler.gamma=2", "scheduler.gamma=2"),
        ("+scheduler.factor=0.5", "unknown key scheduler.factor"),
    ],
)
def test_a_mistake_in_a_schedule_names_its_key(override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        compose_config(["dataset=nyuv2", "method=ls", override])


ERRORS = {
    "unknown key": (("trainer.epoch=3",), "unknown key trainer.epoch", "trainer.epochs?"),
    "unknown section": (("trainr.epochs=3",), "unknown key trainr.epochs", "trainer.epochs"),
    "unknown top-level key": (("sede=3",), "unknown key sede", "did you mean seed?"),
    "unknown profile key": (("profile.qm9.epoch=3",), "profile.qm9.epoch", "profile.qm9.epochs?"),
    "added key": (("+method.foo=1",), "unknown key method.foo", "method.log_gram"),
    "unknown method key": (("method.foo=1",), "unknown key method.foo", "method.log_gram"),
    "added top-level key": (("+foo=1",), "unknown key foo", "allowed: "),
    "added section": (("+foo.bar=1",), "unknown key foo", "allowed: "),
    "unknown choice": (("method=lss",), "method=lss", f"allowed: {', '.join(ALL_METHODS)}"),
    "unknown data set": (("dataset=qm8",), "dataset=qm8", f"allowed: {', '.join(DATASETS)}"),
    "unknown profile": (("profile=huge",), "profile=huge", "allowed: demo, mini, paper, smoke"),
    "unknown experiment": (("experiment=x",), "experiment=x", "allowed: "),
    "empty choice": (("method=",), "method=", f"allowed: {', '.join(ALL_METHODS)}"),
    "text for a number": (("trainer.epochs=many",), "trainer.epochs=many", "integer"),
    "quoted number": (('optimizer.lr="0.1"',), "optimizer.lr=0.1", "number"),
    "fraction for an integer": (("seed=1.5",), "seed=1.5", "integer"),
    "whole fraction for an integer": (("seed=1.0",), "seed=1.0", "integer"),
    "truth for an integer": (("seed=true",), "seed=True", "integer"),
    "number for truth": (("debug=1",), "debug=1", "boolean"),
    "list for text": (("paths.data=[a]",), "paths.data=['a']", "string"),
    "null for text": (("paths.data=null",), "paths.data=None", "string"),
    "text for a section": (("optimizer=adam",), "optimizer=adam", "object"),
    "text in a constructor": (("architecture.dim=wide",), "architecture.dim=wide", "integer"),
    "below range": (("seed=-1",), "seed=-1", "greater than or equal to 0"),
    "above range": (("dataset.val_size=10001",), "dataset.val_size=10001", "10000"),
    "zero epochs": (("trainer.epochs=0",), "trainer.epochs=0", "greater than or equal to 1"),
    "infinite": (("optimizer.lr=inf",), "optimizer.lr=inf", "finite"),
    "not a number": (("optimizer.lr=nan",), "optimizer.lr=nan", "finite"),
    "in a list": (("optimizer.betas=[0.9,2]",), "optimizer.betas.1=2", "equal to 1"),
    "not of the allowed": (("trainer.on_nonfinite=x",), "trainer.on_nonfinite=x", "'abort' or"),
    "not of a constructor's": (("method.head_weighting=x",), "method.head_weighting=x", "weighted"),
    "unknown device": (("trainer.device=gpu",), "trainer.device=gpu", "pattern"),
    "variant with a slash": (("variant=a/b",), "variant=a/b", "pattern"),
    "no such selection": (("protocol.selection=best",), "protocol.selection=best", "'best_val'"),
    "foreign optimizer": (("optimizer._target_=os.system",), "optimizer._target_", "Adam"),
    "foreign scheduler": (("scheduler._target_=os.system",), "scheduler._target_", "Plateau"),
    "a choice above": (("method=../method/ls",), "method=../method/ls", "no such choice"),
    "a choice elsewhere": (("profile=/tmp/x",), "profile=/tmp/x", "no such choice"),
    "an experiment above": (("experiment=../../x",), "experiment=../../x", "no such choice"),
    "variant that leads up": (("variant=../../evil",), "variant=../../evil", "pattern"),
    "too many threads": (("trainer.threads=1000000000000",), "trainer.threads", "equal to 1024"),
    "too many workers": (("trainer.workers=100000",), "trainer.workers=100000", "equal to 256"),
    "workers in words": (("trainer.workers=many",), "trainer.workers=many", "integer or 'auto'"),
    "fewer than no workers": (("trainer.workers=-1",), "trainer.workers=-1", "equal to 0"),
    "null workers": (("trainer.workers=null",), "trainer.workers=None", "integer"),
    "no seed": (("seed=nan",), "seed=nan", "integer"),
    "bad syntax": (("a===",), "a===", "KEY=VALUE"),
    "no value": (("seed",), "seed", "KEY=VALUE"),
    "unclosed": (("paths.data=[a",), "paths.data=[a", "KEY=VALUE"),
    "a sweep without -m": (("seed=1,2",), "seed=1,2", "-m"),
    "removed section": (("~method",), "method", "missing"),
    "removed key": (("~trainer.device",), "trainer.device", "missing"),
    "unset variable": (("paths.data=${oc.env:MTL_BENCH_UNSET}",), "paths.data", "MTL_BENCH_UNSET"),
    "unknown interpolation": (("paths.data=${nothing.here}",), "paths.data", "nothing.here"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_mistake_is_one_line_that_names_key_and_remedy(case):
    overrides, *needles = ERRORS[case]
    with pytest.raises(ConfigError) as info:
        compose_config([*RUN, *overrides])
    message = str(info.value)
    assert "\n" not in message
    assert len(message) < 500
    for needle in needles:
        assert needle in message
    assert info.value.exit_status == 2


@pytest.mark.parametrize(
    ("overrides", "missing"),
    [
        (["method=ls"], "dataset=" + "|".join(DATASETS)),
        (["dataset=qm9"], "method=" + "|".join(ALL_METHODS)),
        ([], "missing"),
    ],
)
def test_a_missing_choice_is_named_with_what_there_is(overrides, missing):
    with pytest.raises(ConfigError, match="is missing; give") as info:
        compose_config(overrides)
    assert missing in str(info.value)


@pytest.mark.parametrize(
    ("dataset", "architecture", "serves"),
    [
        *(("qm9", name, "nyuv2") for name in ("mtan", "segnet")),
        *(("qm9", "pspnet", "cityscapes"), ("nyuv2", "pspnet", "cityscapes")),
        *(("nyuv2", "mpnn", "qm9"), ("cityscapes", "mtan", "nyuv2")),
    ],
)
def test_a_network_for_other_data_is_named_with_what_it_serves(dataset, architecture, serves):
    message = rf"architecture={architecture} can't serve dataset={dataset}; it serves {serves}$"
    with pytest.raises(ConfigError, match=message):
        compose_config([f"dataset={dataset}", f"architecture={architecture}", "method=ls"])


def hash_of(*overrides):
    return config_hash(compose_config([*RUN, *overrides]))


@pytest.mark.parametrize(
    "override",
    [
        "paths.data=/elsewhere",
        "paths.results=/elsewhere",
        "dataset.root=/elsewhere/qm9",
        "dataset.resident=true",
        "dataset.padded=true",
        "logger.progress=off",
        "logger=wandb",
        "logger=tensorboard",
        "trainer.device=cpu",
        "trainer.threads=2",
        "trainer.workers=2",
        "trainer.workers=auto",
        "trainer.checkpoint_minutes=1",
        "trainer.on_nonfinite=skip",  # of a run that has met a NaN it does, and the record says so
        "debug=true",
        "dataset.batch_size=120",
        "optimizer.lr=0.001",
        "optimizer.weight_decay=0",
        "profile=smoke",
        "protocol=nash",
    ],
)
def test_the_hash_ignores_what_changes_no_number(override):
    assert hash_of(override) == hash_of()


def test_the_hash_changes_with_everything_that_changes_numbers():
    overrides = [
        "seed=1",
        "method=stl",
        "method.head_weighting=unweighted",
        "architecture.dim=9",
        "dataset.train_size=100",
        "dataset.train_size=null",
        "dataset.batch_size=60",
        "optimizer.lr=0.002",
        "optimizer.betas=[0.9,0.99]",
        "optimizer._target_=torch.optim.AdamW",
        "scheduler=null",
        "scheduler.patience=4",
        "trainer.epochs=11",
        "protocol.selection=last",
        "profile=mini",
        "variant=a",
    ]
    hashes = [hash_of(override) for override in overrides]
    assert len({hash_of(), *hashes}) == len(overrides) + 1
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in hashes)


def test_the_order_of_overrides_does_not_matter():
    first = config_hash(compose_config([*RUN, "seed=1", "trainer.epochs=2"]))
    second = config_hash(compose_config(["trainer.epochs=2", "seed=1", *reversed(RUN)]))
    assert first == second


def test_single_task_networks_are_what_the_architecture_names_for_them():
    segnet = "mtl_bench.architectures.segnet.SegNet"
    network = compose_config(["dataset=nyuv2", "method=stl"])["architecture"]
    assert (network["name"], network["_target_"]) == ("mtan", segnet)
    network = compose_config(["dataset=nyuv2", "method=ls"])["architecture"]
    assert network["_target_"] == "mtl_bench.architectures.mtan.MTAN"
    assert "single_task" not in network
    own = "architecture.single_task=mtan"
    network = compose_config(["dataset=nyuv2", "method=stl", own])["architecture"]
    assert network["_target_"] == "mtl_bench.architectures.mtan.MTAN"
    with pytest.raises(
        ConfigError, match=r"^architecture\.single_task: architecture=Mtan: there is"
    ):
        compose_config(["dataset=nyuv2", "method=stl", own.replace("mtan", "Mtan")])


def test_no_choice_is_read_from_or_written_to_another_folder(tmp_path, monkeypatch):
    """A relative path would name a YAML file anywhere, and a folder outside the results."""
    monkeypatch.chdir(tmp_path)
    text = "# @package _global_\nhydra:\n  launcher:\n    _target_: logging.FileHandler\n"
    (tmp_path / "evil.yaml").write_text(text)
    evil = os.path.relpath(tmp_path / "evil", find_config_folder() / "method")
    for group in GROUPS.values():
        for choice in (evil, f"ls,{evil}", str(tmp_path / "evil"), "../method/ls"):
            words = ["dataset=qm9", "method=ls", "profile=smoke", f"{group}={choice}"]
            for use in (compose_config, sweep):
                with pytest.raises(ConfigError, match=f"{group}=.*: there is no such choice; all"):
                    use(words)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.yaml"]


@pytest.mark.parametrize("key", ["hydra.launcher._target_", "+hydra.sweeper._target_"])
def test_hydras_own_classes_are_not_for_the_command_line(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    words = [*RUN, f"{key}=logging.FileHandler", "+hydra.launcher.filename=ran"]
    for use in (compose_config, sweep):
        with pytest.raises(ConfigError, match="Hydra's own parts can't be replaced"):
            use(words)
    assert list(tmp_path.iterdir()) == []
