"""Choices that an installed package adds: found, checked, and kept within their package."""

import sys

import pytest

from mtl_bench import build_method
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.cli import main
from mtl_bench.config.build import build, build_network, build_run_method
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group, find_config_folder
from mtl_bench.config.identity import config_hash
from mtl_bench.datasets.commands import find_command
from mtl_bench.errors import ConfigError
from tests.added import announce, write_files

RUN = ("dataset=qm9", "profile=smoke")

MODULE = """
from subprocess import Popen
from mtl_bench.methods.base import Method
from mtl_bench.values import Fraction, PositiveInt

class Added(Method):
    def __init__(self, num_tasks: PositiveInt, *, share: Fraction = 0.5, **common):
        super().__init__(num_tasks, **common)
        self.share = share
"""

FILES = {
    "added_one/__init__.py": "",
    "added_one/inner/added.py": MODULE,
    "added_one/configs/method/added.yaml": (
        "# Added: a method from elsewhere\n_target_: added_one.inner.added.Added\nshare: 0.25\n"
    ),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package from its files."""

    def do(files, name="added_one", point=None):
        site = tmp_path / name
        write_files(site, files)
        announce(site, name.replace("_", "-"), "1.2", {name: point or f"{name}.configs"})
        monkeypatch.syspath_prepend(site)
        return site

    yield do
    for name in [name for name in sys.modules if name.startswith("added_")]:
        del sys.modules[name]


def config_of(*overrides):
    return compose_config([*RUN, *overrides])


def test_an_added_choice_is_composed_checked_and_hashed(install):
    install(FILES)
    config = config_of("method=added")
    assert config["method"] == {
        "_target_": "added_one.inner.added.Added",
        "share": 0.25,
        "name": "added",
    }
    other = config_of("method=added", "method.share=0.5")
    assert config_hash(other) != config_hash(config)


def test_list_shows_it_among_ours_without_importing_it(install, capsys):
    before = describe_group("method")
    install(FILES | {"added_one/__init__.py": "raise RuntimeError"})
    assert main(["list", "methods"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in lines] == sorted([*before, "added"])
    assert dict(lines)["added"] == "a method from elsewhere"


def test_it_is_built_from_python(install):
    install(FILES)
    assert build_method("added", num_tasks=3, share=0.75).share == 0.75


SEPARATE = """
from mtl_bench.methods.ls import LS
from mtl_bench.methods.stl import STL

class Again(STL):
    pass

class Mixed(LS, Again):
    pass

class Shared(STL):
    separate_networks = False

class Late(LS):
    pass

Late.separate_networks = not LS.separate_networks
"""


@pytest.mark.parametrize(
    ("name", "separate"), [("Again", True), ("Mixed", True), ("Shared", False), ("Late", True)]
)
def test_a_class_has_separate_networks_wherever_it_has_them_from(install, name, separate):
    text = f"# Again: single tasks\n_target_: added_one.again.{name}\nhead_weighting: weighted\n"
    install(FILES | {"added_one/again.py": SEPARATE, "added_one/configs/method/again.yaml": text})
    config = compose_config(["dataset=nyuv2", "profile=smoke", "method=again"])
    kind = {True: SegNet, False: MTAN}[separate]
    assert config["architecture"]["_target_"] == f"{kind.__module__}.{kind.__name__}"
    network = build_network(config, ["depth", "normal"])
    assert isinstance(network, SingleTask) == separate
    assert all(isinstance(n, kind) for n in (network.networks.values() if separate else [network]))
    assert build_run_method(config, 2).separate_networks == separate


def test_a_package_that_cannot_be_imported_is_one_line(install):
    install(FILES | {"added_one/__init__.py": "import nowhere"})
    with pytest.raises(ConfigError, match=r"can't import added_one\.inner\.added \(ModuleNotFound"):
        config_of("method=added")


PROTOCOL = {
    "added_one/configs/method/added.yaml": (
        "# Added: a method from elsewhere\n_target_: added_one.inner.added.Added\n"
        "share: ${oc.select:protocol.added.share,0.25}\n"
    ),
    "added_one/configs/protocol/own.yaml": (
        "# own: of this package\ndefaults: [nash, _self_]\nadded: {share: 0.75}\ncagrad: {c: 0.2}\n"
    ),
}


def test_a_protocol_has_constants_of_an_added_method(install):
    install(FILES | PROTOCOL)
    assert config_of("method=added")["method"]["share"] == 0.25
    assert config_of("method=added", "protocol=own")["method"]["share"] == 0.75
    assert config_of("method=cagrad", "protocol=own")["method"]["c"] == 0.2


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ("added: {share: 2}", "protocol.added.share=2: should be less than or equal to 1"),
        ("added: {shar: 0}", "unknown key protocol.added.shar; did you mean protocol.added.share"),
        (
            "mgda: {normalize: l2}",
            "unknown key protocol.mgda.normalize; did you mean protocol.mgda.scale",
        ),
        ("ls: {head_weighting: weighted}", "unknown key protocol.ls"),
        ("nothing: {x: 1}", "unknown key protocol.nothing"),
        ("qm9: {batch_size: 1}", "unknown key protocol.qm9"),
        ("nyuv2: {drop_last: 1}", "protocol.nyuv2.drop_last=1: should be a valid boolean"),
        ("cagrad: {rescale: 3}", "protocol.cagrad.rescale=3: should be 0, 1 or 2"),
    ],
)
def test_a_protocols_constants_are_those_that_a_file_looks_up(install, constants, message):
    """Others would have no effect."""
    own = {"added_one/configs/protocol/own.yaml": f"defaults: [nash, _self_]\n{constants}\n"}
    install(FILES | PROTOCOL | own)
    with pytest.raises(ConfigError, match=message):
        config_of("method=rlw", "protocol=own")


@pytest.mark.parametrize(
    ("overrides", "needles"),
    [
        (("method=added", "method.share=2"), ("method.share=2", "less than or equal to 1")),
        (("method=added", "+method.shar=0"), ("unknown key method.shar", "method.share?")),
        (("method=ad",), ("method=ad", "added", "alignedmtl")),
        (
            ("method=ls", "optimizer._target_=added_one.inner.added.Added"),
            ("optimizer._target_", "Adam"),
        ),
    ],
)
def test_mistakes_are_refused(install, overrides, needles):
    install(FILES)
    with pytest.raises(ConfigError) as info:
        config_of(*overrides)
    for needle in needles:
        assert needle in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_target_: subprocess.Popen\n", "must start with added_one. or mtl_bench."),
        ("_target_: added_one_more.Added\n", "must start with added_one. or mtl_bench."),
        ("_target_: added_one.inner.added.Popen\n", "inner.added defines no class Popen"),
        ("_target_: added_one.inner.added.Popen.wait\n", "no module added_one.inner.added.Popen"),
        ("_target_: added_one.other.Other\n", "subclass of mtl_bench.methods.base.Method"),
        ("_target_: mtl_bench.architectures.mpnn.MPNN\n", "subclass of mtl_bench.methods.base"),
        ("share: 0.5\n", r"method\._target_=: must start with"),
        (FILES["added_one/configs/method/added.yaml"] + "more: 1\n", "unknown key method.more"),
        ("a: [1\nb: 2\n", r"added\.yaml, line 2: "),
        ("_target_: added_one.inner.broken.X\n", r"broken\.py, line 2: "),
        ("_target_: added_one.inner.X\n", "module added_one.inner defines no class X"),
    ],
)
def test_a_file_that_will_not_do_is_one_line(install, text, message):
    broken = {"added_one/inner/broken.py": "x = 1\nclass X(:\n    pass\n"}
    broken |= {"added_one/other.py": "class Other:\n    pass\n"}
    install(FILES | broken | {"added_one/configs/method/added.yaml": text})
    with pytest.raises(ConfigError, match=message) as info:
        config_of("method=added")
    assert "\n" not in str(info.value)


def test_a_file_may_give_our_classes_other_values(install):
    text = "# Bold: a larger ball\ndefaults: [cagrad, _self_]\nc: 0.9\n"
    install(FILES | {"added_one/configs/method/bold.yaml": text})
    section = config_of("method=bold")["method"]
    assert section["_target_"] == "mtl_bench.methods.cagrad.CAGrad"
    assert (section["c"], section["name"]) == (0.9, "bold")


def test_no_other_choice_can_be_pointed_at_a_packages_class(install):
    install(FILES)
    for word in ("method", "architecture"):
        with pytest.raises(ConfigError, match=f"{word}=.* is a name for"):
            config_of("method=ls", f"{word}._target_=added_one.inner.added.Added")


def test_without_an_announcement_nothing_is_found(tmp_path, monkeypatch):
    write_files(tmp_path, FILES)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="method=added: there is no such choice"):
        config_of("method=added")
    folder = f"hydra.searchpath=['file://{tmp_path}/added_one/configs']"
    with pytest.raises(ConfigError, match=r"hydra\.searchpath=.*: allowed of Hydra's settings are"):
        config_of(folder, "method=added")


def test_two_files_of_one_name_are_both_named(install, capsys):
    clash = {"added_one/configs/method/ls.yaml": "# LS: mine\n_target_: added_one.ls.LS\n"}
    site = install(FILES | clash)
    assert main(["list", "methods"]) == 2
    assert main(["train", *RUN, "method=rlw"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == lines[1]
    ours = find_config_folder() / "method" / "ls.yaml"
    assert (
        f"method=ls is in two files, {ours} and {site / next(iter(clash))}: rename one" in lines[0]
    )


def test_two_packages_of_one_choice_are_both_named(install):
    sites = [
        install({f"{name}/configs/method/x.yaml": ""}, name) for name in ("added_a", "added_b")
    ]
    with pytest.raises(ConfigError) as info:
        describe_group("method")
    for site in sites:
        assert str(site) in str(info.value)


def test_a_name_that_no_record_can_carry_is_refused(install):
    install(FILES | {"added_one/configs/method/my-own.yaml": ""})
    with pytest.raises(ConfigError, match=r"my-own\.yaml: .*letters, digits, underscores"):
        describe_group("method")


@pytest.mark.parametrize("point", ["added_one.nothing", "added_one", "nowhere.configs", "os.path"])
def test_an_announcement_of_nothing_names_the_package(install, point):
    install(FILES, point=point)
    with pytest.raises(ConfigError, match=rf"package added-one announces configs in {point}"):
        describe_group("method")


def test_an_architecture_that_cannot_serve_the_data_set_is_refused(install):
    text = "# CNN: for images\ndefaults: [mpnn, _self_]\nserves: [nyuv2, cityscapes]\n"
    install({"added_one/configs/architecture/cnn.yaml": text})
    with pytest.raises(ConfigError) as info:
        config_of("method=ls", "architecture=cnn")
    assert "architecture=cnn can't serve dataset=qm9" in str(info.value)
    assert "nyuv2, cityscapes" in str(info.value)


def test_a_target_within_a_field_stays_data(tmp_path):
    trap = tmp_path / "opened"
    nested = f"method.arguments={{_target_: logging.FileHandler, filename: '{trap}'}}"
    with pytest.raises(ConfigError, match=r"'_target_': 'logging\.FileHandler'"):
        build(config_of("method=torchjd", nested)["method"], num_tasks=3, seed=0)
    assert not trap.exists()


DATA = "# @package _global_\n# Mine: a data set\ndataset:\n  _target_: added_one.mine.Mine\n"


@pytest.mark.parametrize("module", ["added_one/mine_prepare.py", "added_one/mine/prepare.py"])
def test_a_data_set_is_prepared_by_the_module_beside_it(install, tmp_path, module):
    files = {
        "added_one/configs/dataset/mine.yaml": DATA,
        "added_one/mine/__init__.py": "",
        module: "def prepare(folder, size: int):\n    folder.mkdir()\n",
    }
    install(files)
    command, settings = find_command("mine", "prepare")
    assert settings == {"size": None}
    with pytest.raises(ConfigError, match="size=x"):
        command(tmp_path / "mine", {"size": "x"})
    command(tmp_path / "mine", {"size": "3"})
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DATA, "data set mine has nothing to prepare: there is no module added_one.mine_prepare"),
        ("# Mine: a data set\n", r"mine\.yaml names no dataset\._target_"),
    ],
)
def test_a_data_set_with_nothing_to_prepare_says_so(install, text, message):
    install({"added_one/configs/dataset/mine.yaml": text})
    with pytest.raises(ConfigError, match=message):
        find_command("mine", "prepare")


def test_a_data_set_that_is_not_there_is_named_with_what_is():
    with pytest.raises(ConfigError, match=r"no data set qm8; allowed: .*qm9"):
        find_command("qm8", "prepare")
