"""The Python entry points give what a run would use."""

import pytest
import torch

from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.config.build import build_network, build_run_method
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group
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
    same = build_network(config, list(network.heads), separate=False)
    for first, second in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(first, second)
    other = build_architecture("qm9", profile="smoke", seed=4)
    assert not torch.equal(other.embedding.weight, network.embedding.weight)


def test_the_paper_network_has_the_published_size():
    network = build_architecture("qm9", "mpnn")
    assert sum(p.numel() for p in network.parameters()) == 617_675
    assert sum(p.numel() for p in network.shared_parameters()) == 616_960
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


@pytest.mark.parametrize(
    ("build", "needle"),
    [
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
