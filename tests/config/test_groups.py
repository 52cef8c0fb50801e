"""The YAML files say what the constructors say."""

import inspect

import pytest
import yaml
from hydra.utils import get_class

from mtl_bench.cli import main
from mtl_bench.config.groups import GROUPS, describe_group, find_config_folder
from mtl_bench.config.objects import ANNOTATIONS, BUILT_WITH

OBJECTS = [
    (group, choice)
    for group in ("algorithm", "architecture", "method")
    for choice in describe_group(group)
]


def section_of(group, choice):
    """Return what a file says, with a data set's section of the one that it takes the rest from."""
    section = yaml.safe_load((find_config_folder() / group / f"{choice}.yaml").read_text())
    if group != "dataset":
        return section
    rest = next((word for word in section["defaults"] if word in [*describe_group(group)]), None)
    if rest is None:
        return section["dataset"]
    whole = section_of(group, rest)
    assert section["dataset"].keys() <= whole.keys()
    return whole


def same(value, default):
    """YAML has lists where Python has tuples, and PyYAML reads 1e-3 as text."""
    if isinstance(default, float) and isinstance(value, str):
        return float(value) == default
    return value == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("group", "choice"), [*OBJECTS, *(("dataset", name) for name in describe_group("dataset"))]
)
def test_a_file_has_exactly_the_constructors_fields_and_defaults(group, choice):
    section = section_of(group, choice)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(get_class(section["_target_"])).parameters.items()
        if parameter.kind != parameter.VAR_KEYWORD
    }
    for name in BUILT_WITH[group]:
        parameters.pop(name, None)
    fields = {key: value for key, value in section.items() if key not in ANNOTATIONS}
    assert fields.keys() == parameters.keys()
    for name, value in fields.items():
        default = parameters[name].default
        if isinstance(value, str) and "${" in value:
            continue
        assert default is inspect.Parameter.empty or same(value, default), name


@pytest.mark.parametrize("group", [*GROUPS.values()])
def test_every_choice_describes_itself(group):
    for choice, description in describe_group(group).items():
        name, colon, text = description.partition(": ")
        assert colon, f"configs/{group}/{choice}.yaml must begin with '# Name: what it is'"
        assert name
        assert 10 < len(text) < 110


@pytest.mark.parametrize(("word", "group"), list(GROUPS.items()))
def test_list_prints_a_line_for_each(word, group, capsys):
    assert main(["list", word]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(describe_group(group))
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


@pytest.mark.parametrize("group", [*GROUPS.values()])
def test_the_group_folder_exists_with_yaml_alone(group):
    files = list((find_config_folder() / group).iterdir())
    assert files
    assert all(path.suffix == ".yaml" for path in files)
