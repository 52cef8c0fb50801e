"""A run is known by its choices and their fields, wherever their classes live."""

import sys

import pytest
import yaml

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash, settings_of
from mtl_bench.config.recorded import read_config
from mtl_bench.errors import ConfigError, RecordError
from tests.added import announce, write_files

RUN = ("dataset=qm9", "method=ls", "profile=smoke")

PYG = "architecture=pyg architecture.network=torch_geometric.nn.GIN"

HASHES = {
    "dataset=qm9 method=alignedmtl": "29b2048b",
    "dataset=qm9 method=cagrad": "f86563d0",
    "dataset=qm9 method=dwa": "0d60c8a0",
    "dataset=qm9 method=graddrop": "8d1b73aa",
    "dataset=qm9 method=igbv2": "137d323e",
    "dataset=qm9 method=imtl": "1c78d8e4",
    "dataset=qm9 method=ls": "68d50f11",
    "dataset=qm9 method=mgda": "08da5849",
    "dataset=qm9 method=nashmtl": "5bf5d506",
    "dataset=qm9 method=pcgrad": "ee385d60",
    "dataset=qm9 method=rlw": "a051f3e9",
    "dataset=qm9 method=stl": "4a291654",
    "dataset=qm9 method=taskforce": "9a4c422c",
    "dataset=qm9 method=torchjd": "abcc3e1b",
    "dataset=qm9 method=uw": "2808fd07",
    f"dataset=qm9 method=ls {PYG}": "2202a1f9",
    "dataset=nyuv2 method=ls": "73658f2c",
    "dataset=nyuv2 method=stl": "91b2d837",
    "dataset=nyuv2 method=stl architecture.single_task=mtan": "40a4f360",
    "dataset=nyuv2 method=ls architecture=segnet": "9bb06c3a",
    "dataset=cityscapes method=ls": "8421504f",
    "dataset=cityscapes method=stl": "67f359e3",
}
"""Of the version whose hash held the paths of classes; never made anew."""


def hash_of(*words):
    return config_hash(compose_config([*RUN, *words]))


@pytest.mark.parametrize("words", HASHES)
def test_a_choice_from_when_the_hash_held_paths_keeps_its_hash_even_if_its_class_moves(words):
    config = compose_config([*words.split(), "profile=smoke"])
    assert config_hash(config) == HASHES[words]
    for group in ("dataset", "architecture", "method"):
        moved = config[group] | {"_target_": f"mtl_bench.elsewhere.{group}.Renamed"}
        assert config_hash(config | {group: moved}) == HASHES[words]


def test_records_from_before_tell_single_task_networks_by_their_class():
    for words in ("method=stl", "method=stl architecture.single_task=mtan", "method=ls"):
        config = compose_config(["dataset=nyuv2", "profile=smoke", *words.split()])
        before = dict(config["architecture"])
        before.pop("single_task", None)
        assert config_hash(config | {"architecture": before}) == config_hash(config)
        assert settings_of(config | {"architecture": before}) == settings_of(config)


METHOD = """
from mtl_bench.methods.ls import LS

class {name}(LS):
    def __init__(self, num_tasks: int, *, share: float = 0.5, **common):
        super().__init__(num_tasks, **common)
"""


def method_file(target):
    return f"# Own: a method\n_target_: {target}\nhead_weighting: weighted\nshare: 0.25\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a user's package, anew if it was there; the classes of its methods by their names."""
    announce(tmp_path, "own-methods", "1.0", {"own": "own_methods.configs"})
    monkeypatch.syspath_prepend(tmp_path)

    def write(**targets):
        for name in [name for name in sys.modules if name.startswith("own_methods")]:
            del sys.modules[name]
        (tmp_path / "own_methods" / "one.py").unlink(missing_ok=True)
        write_files(tmp_path, {"own_methods/__init__.py": ""})
        for choice, target in targets.items():
            module, _, name = target.rpartition(".")
            file = tmp_path / f"{module.replace('.', '/')}.py"
            file.parent.mkdir(exist_ok=True)
            with file.open("a") as stream:
                stream.write(METHOD.format(name=name))
            files = {f"own_methods/configs/method/{choice}.yaml": method_file(target)}
            write_files(tmp_path, files)

    yield write
    for name in [name for name in sys.modules if name.startswith("own_methods")]:
        del sys.modules[name]


def test_an_own_class_may_move_and_its_record_is_still_built_and_found(package, tmp_path, capsys):
    package(own="own_methods.one.First")
    config = compose_config([*RUN, "method=own"])
    before = config_hash(config)
    record = tmp_path / "results" / "smoke" / "qm9" / "own" / f"seed0-{before}"
    record.mkdir(parents=True)
    (record / "config.yaml").write_text(yaml.safe_dump(config))
    package(own="own_methods.other.Renamed")
    assert hash_of("method=own") == before
    read = read_config(record)
    assert read["method"]["_target_"] == "own_methods.other.Renamed"
    assert config_hash(read) == before
    words = [*RUN, "method=own", f"paths.results={tmp_path / 'results'}"]
    assert main(["train", "--dry-run", *words]) == 1
    assert capsys.readouterr().out.startswith("interrupted: ")


def test_two_names_are_two_methods_whatever_they_are_called_by(package):
    package(own="own_methods.one.First", other="own_methods.one.Second")
    assert len({hash_of(f"method={name}") for name in ("own", "other")}) == 2
    package(own="own_methods.one.First", other="own_methods.one.First")
    assert len({hash_of(f"method={name}") for name in ("own", "other")}) == 2
    assert hash_of("method=own", "method.share=0.5") != hash_of("method=own")


def test_a_record_whose_class_and_choice_are_gone_names_the_class(package, tmp_path):
    package(own="own_methods.one.First")
    config = compose_config([*RUN, "method=own"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    package()
    (tmp_path / "own_methods" / "configs" / "method" / "own.yaml").unlink()
    with pytest.raises(RecordError, match=r"method\._target_=own_methods\.one\.First"):
        read_config(tmp_path)


def test_no_path_is_in_the_hash_of_a_new_choice(package):
    package(own="own_methods.one.First")
    settings = settings_of(compose_config([*RUN, "method=own"]))
    assert settings["method._target_"] == "own"


@pytest.mark.parametrize(
    "word",
    [
        "method._target_=mtl_bench.methods.uw.UW",
        "+method={_target_: mtl_bench.methods.uw.UW}",
        "~method._target_",
        "dataset._target_=mtl_bench.datasets.nyuv2.NYUv2",
        "architecture._target_=os.system",
        "algorithm._target_=mtl_bench.algorithms.sac.sac.MultiTaskSAC",
        "+dataset.compare=systems",
    ],
)
def test_what_a_choice_is_a_name_for_is_said_by_its_file_alone(word):
    with pytest.raises(
        ConfigError, match=r"is a name for .*a file configs/\w+/NAME\.yaml$"
    ) as info:
        compose_config([*RUN, word])
    assert "\n" not in str(info.value)


def test_a_label_is_a_name_for_people_and_no_part_of_the_run():
    config = compose_config([*RUN, "label=Soft modularisation"])
    assert config["label"] == "Soft modularisation"
    assert config_hash(config) == hash_of()
    assert settings_of(config) == settings_of(compose_config(RUN))


@pytest.mark.parametrize("value", ["", " x", "x ", "3", "a\nb", "a" * 61])
def test_a_label_is_text_of_one_short_line(value):
    text = value if value == "3" else f'"{value}"'
    with pytest.raises(ConfigError, match=r"^label="):
        compose_config([*RUN, f"label={text}"])
