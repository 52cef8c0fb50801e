"""The Python entry points give what a run would use."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.config.build import build_network, build_run_method
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group
from mtl_bench.config.objects import class_of
from mtl_bench.errors import ConfigError, DataError


@pytest.mark.data
def test_the_paper_profile_is_the_whole_of_qm9(qm9_data):
    data = build_dataset("qm9", profile="paper", seed=0, data=qm9_data)
    assert data.targets.shape == (130_831, 11)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 110_831,
        "validation": 10_000,
        "test": 10_000,
    }
    assert data.steps_per_epoch == 924


def test_fields_of_a_data_set_can_be_given(tiny_data):
    data = build_dataset("qm9", profile="smoke", data=str(tiny_data), train_size=50, batch_size=7)
    assert data.steps_per_epoch == 8
    assert len(data.splits["validation"]) == 120


def test_a_data_folder_may_have_any_name(tiny_data, tmp_path):
    link = tmp_path / "my data, (1) {x}=y"
    link.symlink_to(tiny_data)
    assert build_dataset("qm9", profile="smoke", data=link).steps_per_epoch == 8


def test_the_network_is_the_one_of_a_run():
    network = build_architecture("qm9", profile="smoke", seed=3)
    config = compose_config(["dataset=qm9", "method=ls", "profile=smoke", "seed=3"])
    same = build_network(config, list(network.heads))
    for first, second in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(first, second)
    other = build_architecture("qm9", profile="smoke", seed=4)
    assert not torch.equal(other.embedding.weight, network.embedding.weight)


@pytest.mark.parametrize(
    ("dataset", "fields", "parameters", "shared"),
    [
        ("qm9", {}, 617_675, 616_960),
        ("nyuv2", {}, 44_229_073, 44_117_184),
        ("cityscapes", {"pretrained": None}, 92_740_694, 23_508_032),
    ],
)
def test_without_a_method_it_is_the_multi_task_network_of_the_paper(
    dataset, fields, parameters, shared
):
    network = build_architecture(dataset, **fields)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert sum(p.numel() for p in network.shared_parameters()) == shared


@pytest.mark.parametrize("dataset", ["qm9", "nyuv2", "cityscapes"])
def test_every_data_set_has_the_network_of_a_run(dataset):
    network = build_architecture(dataset, profile="smoke")
    config = compose_config([f"dataset={dataset}", "method=taskforce", "profile=smoke"])
    tasks = class_of("dataset", config["dataset"]).task_names
    same = build_network(config, tasks)
    assert type(network) is type(same)
    for first, second in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_suite_of_environments_has_no_single_network():
    with pytest.raises(ConfigError, match="dataset=pendulum6 is learned by a policy and critics"):
        build_architecture("pendulum6", profile="smoke")


def test_fields_of_a_network_can_be_given():
    assert build_architecture("qm9", dim=8).embedding.weight.shape == (8, 11)


def test_building_a_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    build_architecture("qm9", profile="smoke")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", describe_group("method"))
def test_every_method_is_built_for_any_number_of_tasks(name):
    assert build_method(name, num_tasks=3).num_tasks == 3


def test_a_method_is_the_one_of_a_run():
    method = build_method("taskforce", 11, profile="smoke", seed=5, gamma=0.5, normalize="loss+")
    config = compose_config(
        ["dataset=qm9", "method=taskforce", "profile=smoke", "seed=5", "method.gamma=0.5"]
    )
    same = build_run_method(config, 11)
    assert torch.equal(method.generator.get_state(), same.generator.get_state())
    assert method.normalize == "loss+"
    assert build_method("taskforce", 2, action_bound=None).action_bound is None


TEXTS = st.text(st.sampled_from("${}\\'\"a:,.[](=? é\n#%")).filter(lambda text: text != "???")


@settings(deadline=None, max_examples=15)
@given(TEXTS)
def test_a_string_of_python_reaches_the_configuration_as_it_is(text):
    values = {"paths": {"data": f"/{text}"}, "method": {"arguments": {"a": [text], text: "b"}}}
    config = compose_config(["dataset=qm9", "method=torchjd", "profile=smoke"], values)
    assert config["paths"]["data"] == f"/{text}"
    assert config["dataset"]["root"] == f"/{text}/qm9"
    assert config["method"]["arguments"] == {"a": [text], text: "b"}


@pytest.mark.parametrize(
    "name", ["it's", "back\\slash", "a${b}", "a${", "{x: 1}", "1,2", "null", "'"]
)
def test_a_data_folder_may_have_any_character(name, tiny_data, tmp_path):
    link = tmp_path / name
    link.symlink_to(tiny_data)
    assert build_dataset("qm9", profile="smoke", data=str(link)).steps_per_epoch == 8


def test_nested_values_reach_a_method():
    pytest.importorskip("torchjd")
    build_method("torchjd", num_tasks=3, aggregator="TrimmedMean", arguments={"trim_number": 1})
    preferring = build_method("torchjd", 3, arguments={"pref_vector": (1, 1, 2)})
    again = build_method("torchjd", 3, arguments={"pref_vector": [1, 1, 2]})
    gram_TT = torch.tensor([[2.0, -1, 0], [-1, 3, 0], [0, 0, 1]], dtype=torch.float64)
    weights_T = preferring.weights(torch.ones(3), gram_TT)
    assert torch.equal(weights_T, again.weights(torch.ones(3), gram_TT))
    assert not torch.equal(weights_T, build_method("torchjd", 3).weights(torch.ones(3), gram_TT))


def test_numbers_of_numpy_are_numbers():
    method = build_method("cagrad", np.int64(3), seed=np.int32(1), c=np.float64(0.25))
    assert (method.num_tasks, method.c) == (3, 0.25)


@pytest.mark.parametrize(
    ("build", "needle"),
    [
        (lambda: build_method("ls", 0), "num_tasks=0: should be greater than or equal to 1"),
        (lambda: build_method("ls", -1), "num_tasks=-1"),
        (lambda: build_method("ls", 1.5), "num_tasks=1.5: should be a valid integer"),
        (lambda: build_method("ls", True), "num_tasks=True: should be a valid integer"),
        (lambda: build_method("ls", "3"), "num_tasks=3: should be a valid integer"),
        (lambda: build_method("ls", None), "num_tasks=None: should be a valid integer"),
        (lambda: build_architecture("qm9", name="mine"), "unknown key architecture.name"),
        (lambda: build_architecture("qm9", serves=["qm9"]), "unknown key architecture.serves"),
        (lambda: build_method("ls", 3, _target_="os.system"), "unknown key method._target_"),
        (lambda: build_method("ls", 3, **{"a.b": 1}), "unknown key method.a.b"),
        (lambda: build_method("cagrad", 3, c="0.4"), "method.c=0.4: should be a valid number"),
        (lambda: build_method("cagrad", 3, c="${seed}"), "method.c=${seed}: should be a valid"),
        (lambda: build_method("cagrad", 3, c=torch.ones(2, 2)), "method.c=tensor([[1., 1.], [1."),
        (lambda: build_method("cagrad", 3, c={"a": 1}), "method.c={'a': 1}"),
        (lambda: build_method("ls", 3, profile=None), "profile=None: there is no such choice"),
        (lambda: build_method("ls,mgda", 3), "method=ls,mgda: there is no such choice"),
        (lambda: build_method("ls", 3, dataset="qm9 +foo=1"), "dataset=qm9 +foo=1: there is no"),
        (lambda: build_dataset("qm9", data=b"data"), "paths.data=b'data': must be plain"),
        (lambda: build_dataset("qm9", data=""), "paths.data="),
        (lambda: build_dataset("qm8"), "dataset=qm8"),
        (lambda: build_dataset("qm9", profile="huge"), "profile=huge"),
        (lambda: build_dataset("qm9", seed=-1), "seed=-1"),
        (lambda: build_dataset("qm9", sizes=3), "unknown key dataset.sizes"),
        (lambda: build_dataset("qm9", batch_size="120"), "dataset.batch_size=120"),
        (lambda: build_architecture("qm9", "vgg"), "architecture=vgg"),
        (lambda: build_architecture("qm9", dim=0), "architecture.dim=0"),
        (lambda: build_method("lss", 3), "method=lss"),
        (lambda: build_method("ls", 3, rate=1), "unknown key method.rate"),
        (lambda: build_method("taskforce", 3, normalize="l3"), "method.normalize=l3"),
        (lambda: build_method("taskforce", 3, batch_size=1), "method.batch_size=1"),
    ],
)
def test_mistakes_are_explained(build, needle):
    with pytest.raises(ConfigError) as info:
        build()
    assert needle in str(info.value)
    assert "\n" not in str(info.value)


def test_data_that_is_not_prepared_names_the_command(tmp_path):
    with pytest.raises(DataError, match="mtl-bench data prepare qm9"):
        build_dataset("qm9", data=tmp_path)
