"""Data sets that are read from their original files: fetched, sealed, damaged."""

import re
import shlex
import shutil

import pytest

from mtl_bench.cli import main
from mtl_bench.config.build import build_data
from mtl_bench.config.compose import compose_config
from mtl_bench.datasets.cifar100 import prepare as cifar100
from mtl_bench.datasets.multimnist import prepare as multimnist
from mtl_bench.errors import DataError
from mtl_bench.testing import check_dataset
from tests.datasets.originals import PUBLISHED, WRITE, originals_of, write_mnist, write_prepared
from tests.datasets.store.server import Server

DATASETS = list(WRITE)
SIZES = ("dataset.train_size=1", "dataset.test_size=1")


def silent(line):
    pass


def data_of(dataset, data, *overrides):
    own = ["dataset.source=mnist"] if dataset == "multimnist" else []
    words = [f"dataset={dataset}", "method=ls", "profile=smoke", f'paths.data="{data}"', *own]
    return build_data(compose_config([*words, "dataset.batch_size=4", *overrides]))


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_miniature_of_the_published_files_is_prepared_verified_and_read(dataset, tmp_path):
    module = write_prepared(dataset, tmp_path / dataset)
    assert module.verify(tmp_path / dataset) == []
    sizes = [*SIZES, "dataset.val_size=1"] if dataset == "celeba" else SIZES
    data = data_of(dataset, tmp_path, *sizes)
    assert data.origin["kind"] == "real"
    check_dataset(data)


def test_files_are_fetched_and_a_broken_transfer_goes_on(tmp_path):
    write_mnist(tmp_path / "there")
    names = [original.name for original in PUBLISHED["multimnist"]]
    first, *others = originals_of(tmp_path / "there", names)
    (tmp_path / "data").mkdir()
    for other in others:
        shutil.copy(tmp_path / "there" / other.name, tmp_path / "data")
    content = (tmp_path / "there" / first.name).read_bytes()
    with Server(limits=[1000], content=content) as server:
        originals = [first._replace(url=server.url), *others]
        multimnist.prepare(tmp_path / "data", report=silent, originals=originals)
        multimnist.prepare(tmp_path / "data", report=silent, originals=originals)
    assert server.requests == [None, "bytes=1000-"]
    assert multimnist.verify(tmp_path / "data") == []


def test_another_file_than_the_published_one_is_refused(tmp_path):
    WRITE["cifar100"](tmp_path)
    with pytest.raises(DataError, match=r"is not the published file \(SHA-256 .*: delete it, and"):
        cifar100.prepare(tmp_path, report=silent)
    assert cifar100.verify(tmp_path) == [f"data set cifar100 is not in {tmp_path}"]


def test_a_file_that_takes_a_browser_is_asked_for(tmp_path, capsys):
    assert main(["data", "prepare", "celeba", f"paths.data={tmp_path}"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path}/celeba/img_align_celeba.zip is missing: fetch" in line
    assert "https://mmlab.ie.cuhk.edu.hk" in line


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_damaged_file_is_named(dataset, tmp_path):
    folder = tmp_path / dataset
    module = write_prepared(dataset, folder)
    for original in PUBLISHED[dataset]:
        path = folder / original.name
        before = path.read_bytes()
        path.write_bytes(before[:-1])
        with pytest.raises(DataError, match=rf"{original.name} has {len(before) - 1} bytes, not"):
            data_of(dataset, tmp_path)
        assert str(path) in module.verify(folder)[0]
        path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        assert module.verify(folder) == [
            f"{path} has changed: its SHA-256 is not the one in manifest.json"
        ]
        path.unlink()
        assert module.verify(folder) == [f"{path} is missing"]
        path.write_bytes(before)
    assert module.verify(folder) == []


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_is_missing_is_told_with_both_ways_to_get_it(dataset, tmp_path):
    with pytest.raises(DataError) as told:
        data_of(dataset, tmp_path / "my, data")
    commands = [shlex.split(text) for text in re.findall("`mtl-bench (.*?)`", str(told.value))]
    actions = [["data", action, dataset] for action in ("synth", "prepare")]
    if dataset == "multimnist":
        assert "dataset.source=digits" in str(told.value)
        del actions[0]
    assert [command[:3] for command in commands] == actions
    assert all(command[3] == f'paths.data="{tmp_path}/my, data"' for command in commands)


def test_a_stand_in_is_mended_by_what_is_advised_and_never_replaces_real_data(tmp_path, capsys):
    words = ["train=5", "test=5", "seed=3", f"paths.data={tmp_path}"]
    assert main(["data", "synth", "cifar100", *words]) == 0
    archive = tmp_path / "cifar100" / "cifar-100-python.tar.gz"
    before = archive.read_bytes()
    archive.write_bytes(before[:-1])
    assert main(["data", "verify", "cifar100", f"paths.data={tmp_path}"]) == 2
    (command,) = re.findall("`mtl-bench (.*?)`", capsys.readouterr().err.splitlines()[-1])
    assert main(shlex.split(command)) == 0
    assert archive.read_bytes() == before
    with pytest.raises(DataError, match="holds procedural objects, version 1: move it away"):
        cifar100.prepare(tmp_path / "cifar100", report=silent)
    write_prepared("cifar100", tmp_path / "real")
    with pytest.raises(DataError, match="holds files that are not procedural"):
        cifar100.synth(tmp_path / "real", 5, 5, report=silent)


def test_a_damaged_manifest_is_named(tmp_path):
    write_prepared("cifar100", tmp_path / "cifar100")
    (tmp_path / "cifar100" / "manifest.json").write_text("{}")
    (fault,) = cifar100.verify(tmp_path / "cifar100")
    assert "manifest.json is damaged (KeyError('format')): delete it, and prepare" in fault
    assert "data prepare cifar100" in cifar100.remedy(tmp_path / "cifar100")
