"""What MultiMNIST, CIFAR-100 and CelebA make of their files."""

import gzip
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from mtl_bench.datasets.celeba import CelebA
from mtl_bench.datasets.celeba.files import (
    ARCHIVE,
    ATTRIBUTES,
    FILES,
    NAMES,
    PARTITION,
    read_lists,
)
from mtl_bench.datasets.cifar100 import CIFAR100
from mtl_bench.datasets.cifar100.archive import read_parts
from mtl_bench.datasets.cifar100.labels import SUPERCLASS_OF
from mtl_bench.datasets.classification import classify
from mtl_bench.datasets.multimnist import MultiMNIST
from mtl_bench.datasets.multimnist.dataset import overlay
from mtl_bench.datasets.multimnist.digits import MEMBERS, find_embedded, read_embedded, read_mnist
from mtl_bench.errors import DataError
from mtl_bench.metrics import ClassificationMetrics
from mtl_bench.testing import check_dataset
from tests.datasets.originals import (
    cifar100_part,
    idx,
    write_celeba,
    write_cifar100,
    write_mnist,
    write_prepared,
)


def test_two_digits_are_laid_over_each_other_as_published():
    left, right = np.random.default_rng(0).integers(256, size=(2, 3, 28, 28)).astype(np.uint8)
    for number, picture in enumerate(overlay(left, right)):
        canvas = np.zeros((36, 36), np.uint8)
        canvas[:28, :28], canvas[6:34, 6:34] = left[number], right[number]
        both = np.maximum(left[number, 6:, 6:], right[number, :22, :22])
        canvas[6:28, 6:28] = both
        nearest = Image.fromarray(canvas).resize((28, 28), Image.Resampling.NEAREST)
        assert np.array_equal(picture, nearest)


def test_pictures_of_mnist_are_of_the_digits_that_their_targets_name(tmp_path):
    parts = write_mnist(tmp_path / "raw")
    write_prepared("multimnist", tmp_path / "data")
    data = MultiMNIST(str(tmp_path / "data"), seed=0, batch_size=5)
    images, labels = parts["train"]
    found = {tuple(row) for row in np.stack([images[:, 0, 0], labels], 1).tolist()}
    shown = {}
    for batch in data.train_batches(1):
        corner = ((batch.images_BCHW[:, 0, 0, 0] * 0.3081 + 0.1307) * 255).round().long()
        shown |= dict(zip(corner.tolist(), batch.targets["left"].tolist(), strict=True))
    assert {(corner, label) for corner, label in shown.items()} == found


def test_embedded_digits_are_those_of_scikit_learn():
    rows = gzip.decompress(find_embedded().read_bytes()).decode().split()
    table = np.array([row.split(",") for row in rows], np.float64)
    assert len(table) == 1797
    train, test = read_embedded("train"), read_embedded("test")
    assert np.array_equal(np.concatenate([train.labels_N, test.labels_N]), table[:, -1])
    enlarged = np.concatenate([train.images_NHW, test.images_NHW])
    wanted = functional.interpolate(
        torch.from_numpy(table[:, :-1].reshape(-1, 1, 8, 8)) * 255 / 16, size=28, mode="bilinear"
    )
    assert np.abs(enlarged - wanted[:, 0].numpy()).max() <= 0.5 + 1e-9


def test_held_out_digits_are_in_no_training_picture():
    data = MultiMNIST("nowhere", seed=3, source="digits", train_size=2000, holdout=200)
    train, validation, _ = data.store.pairs
    used = {*train.left_B.tolist(), *train.right_B.tolist()}
    assert len({*validation.left_B.tolist()}) == 200
    assert used.isdisjoint([*validation.left_B.tolist(), *validation.right_B.tolist()])
    check_dataset(data)
    with pytest.raises(DataError, match="holdout=1347 leaves none of the 1347 digits"):
        MultiMNIST("nowhere", seed=0, source="digits", holdout=1347)


@pytest.mark.parametrize(
    ("which", "content", "message"),
    [
        (0, b"no gzip", "train-images-idx3-ubyte.gz can't be read"),
        (0, idx(np.zeros((12, 28)))[:-4], "train-images-idx3-ubyte.gz can't be read"),
        (0, idx(np.zeros((12, 28))), "no idx file of bytes in 3 dimensions"),
        (0, idx(np.zeros((11, 28, 28))), r"images \(11, 28, 28\), .* 12 labels"),
        (1, idx(np.full(12, 10)), "has the label 10, the highest is 9"),
    ],
    ids=["no gzip", "cut short", "two dimensions", "a picture fewer", "an eleventh digit"],
)
def test_a_spoilt_file_of_mnist_is_named(which, content, message, tmp_path):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / MEMBERS["train"][which]).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_mnist(tmp_path / "mnist", "train")


@pytest.mark.parametrize("label", ["rank", "mod5"])
def test_a_class_is_known_by_its_number_within_its_task(label, tmp_path):
    members = write_cifar100(tmp_path / "raw")
    write_prepared("cifar100", tmp_path / "data")
    data = CIFAR100(str(tmp_path / "data"), seed=0, label=label, batch_size=30)
    pixels = members["train"]["data"].reshape(-1, 3, 32, 32)
    seen = 0
    for batch in data.train_batches(1):
        assert list(batch.targets) == [t for t in data.task_names if t in batch.targets]
        for task, targets in batch.targets.items():
            number = data.task_names.index(task)
            own = np.flatnonzero(number == SUPERCLASS_OF).tolist()
            for image, target in zip(batch.of(task).images_BCHW, targets.tolist(), strict=True):
                (number,) = np.flatnonzero((pixels == image.numpy()).all(axis=(1, 2, 3)))
                fine = members["train"]["fine_labels"][number]
                assert target == (own.index(fine) if label == "rank" else fine % 5)
                seen += 1
    assert seen == 200


def test_the_archive_is_read_whichever_python_wrote_it(tmp_path):
    write_cifar100(tmp_path / "old")
    members = write_cifar100(tmp_path / "new", dump=lambda value: pickle.dumps(value, 4))
    for name in ("old", "new"):
        for part, pictures in read_parts(tmp_path / name).items():
            flat = pictures.images_NCHW.reshape(len(pictures.classes_N), -1)
            assert np.array_equal(flat, members[part]["data"])
            assert pictures.classes_N.tolist() == members[part]["fine_labels"]


class Trap:
    def __reduce__(self):
        return print, ("trapped",)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": pickle.dumps(Trap())}, r"train: no readable pickle \(it names builtins.print"),
        ({"train": pickle.dumps([1])}, "train: no readable pickle .a list in place of a dict"),
        ({"train": b"\x80\x02"}, "train: no readable pickle"),
        ({"test": {}}, "test: KeyError.'data'. instead of data and labels"),
        ({"meta": {}}, "meta: other coarse_label_names"),
        ({"test": cifar100_part(np.arange(9)) | {"fine_labels": [0]}}, "of 1 labels"),
        ({"test": cifar100_part(np.arange(9)) | {"coarse_labels": [0] * 9}}, "not the superclass"),
        ({"test": cifar100_part(np.arange(9)) | {"fine_labels": [100] * 9}}, "from 100 to 100"),
    ],
)
def test_a_spoilt_archive_of_cifar100_is_told(changed, message, tmp_path, capsys):
    write_cifar100(tmp_path, dump=lambda value: pickle.dumps(value, 4), **changed)
    with pytest.raises(DataError, match=message):
        read_parts(tmp_path)
    assert capsys.readouterr().out == ""


def test_faces_have_their_attributes_and_the_official_split(tmp_path):
    attributes = write_celeba(tmp_path / "raw")
    write_prepared("celeba", tmp_path / "data")
    data = CelebA(str(tmp_path / "data"), seed=0, size=8, batch_size=3)
    assert {split: numbers.tolist() for split, numbers in data.splits.items()} == {
        "train": [0, 1, 2, 3],
        "validation": [4],
        "test": [5, 6],
    }
    (batch,) = data.evaluation_batches("test")
    assert batch.images_BCHW.shape == (2, 3, 8, 8)
    for column, name in enumerate(NAMES):
        assert batch.targets[name.lower()].tolist() == attributes[5:, column].tolist()
    red = 255 * batch.images_BCHW[:, 0].mean(dim=(1, 2))
    assert red.tolist() == pytest.approx([150, 180], abs=3)
    named = [name for number in range(2) for name in data.sample_names(1, number)]
    assert sorted(named) == [f"00000{number}.jpg" for number in range(1, 5)]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (ATTRIBUTES, "7\n", "8\n", "has 7 rows, its first line says 8"),
        (ATTRIBUTES, "Young", "Old", "line 2: other attributes than those of CelebA"),
        (ATTRIBUTES, " -1 ", " 0 ", "000001.jpg has an attribute that is neither 1 nor -1"),
        (ATTRIBUTES, "000007.jpg", "", "no rows of 41"),
        (PARTITION, "000003.jpg", "000004.jpg", "are not of the same pictures"),
        (PARTITION, "000007.jpg 2", "000007.jpg 3", "000007.jpg is in part 3"),
        (PARTITION, "000007.jpg 2", "000007.jpg é", "can't be read"),
        (PARTITION, "000005.jpg 1", "000005.jpg 0", "no picture is in part 1"),
    ],
)
def test_a_spoilt_list_of_celeba_is_told(name, old, new, message, tmp_path):
    write_celeba(tmp_path / "celeba")
    path = tmp_path / "celeba" / name
    path.write_text(path.read_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_lists(tmp_path / "celeba")


def test_a_picture_that_is_listed_twice_is_named(tmp_path):
    write_celeba(tmp_path / "celeba")
    for path in (tmp_path / "celeba" / name for name in (ATTRIBUTES, PARTITION)):
        path.write_text(path.read_text().replace("000002.jpg", "000001.jpg"))
    with pytest.raises(DataError, match=r"list_eval_partition.txt have 000001.jpg more than once"):
        read_lists(tmp_path / "celeba")


def changed_bits(archive, offsets):
    """Change a field of every member's head in the archive and in its directory."""
    content = bytearray(archive.read_bytes())
    for magic, place, value in offsets:
        at = content.find(magic)
        while at >= 0:
            content[at + place] |= value
            at = content.find(magic, at + 1)
    archive.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([(b"PK\1\2", 8, 1), (b"PK\3\4", 6, 1)], "is encrypted"),
        ([(b"PK\1\2", 10, 97), (b"PK\3\4", 8, 97)], "compression method is not supported"),
    ],
    ids=["encrypted", "compressed"],
)
def test_an_archive_that_can_not_be_unpacked_is_told(offsets, message, tmp_path):
    module = write_prepared("celeba", tmp_path / "celeba")
    archive = tmp_path / "celeba" / ARCHIVE
    changed_bits(archive, offsets)
    with pytest.raises(DataError, match=message):
        list(CelebA(str(tmp_path / "celeba"), seed=0).evaluation_batches("test"))
    (fault,) = FILES.faults(tmp_path / "celeba")
    assert re.search(rf"{ARCHIVE} can't be read .*{message}", fault)
    assert f"{ARCHIVE} has changed" in module.verify(tmp_path / "celeba")[0]


def test_what_is_no_picture_is_named_without_an_address(tmp_path):
    write_prepared("celeba", tmp_path / "celeba")
    archive = tmp_path / "celeba" / ARCHIVE
    with zipfile.ZipFile(archive) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, b"x" * len(content) if "000006" in name else content)
    with pytest.raises(DataError, match=r"000006.jpg can't be read \(it is no picture\)"):
        list(CelebA(str(tmp_path / "celeba"), seed=0).evaluation_batches("test"))


def test_a_file_that_is_no_archive_is_told_in_one_line(tmp_path):
    write_cifar100(tmp_path)
    (tmp_path / "cifar-100-python.tar.gz").write_text("not found")
    with pytest.raises(DataError, match=r"can't be read \(not a gzip file\)$"):
        read_parts(tmp_path)


def test_a_spoilt_picture_is_named_when_it_is_read(tmp_path):
    write_prepared("celeba", tmp_path / "celeba")
    archive = tmp_path / "celeba" / ARCHIVE
    content = bytearray(archive.read_bytes())
    place = content.index(b"000006.jpg") + 200
    content[place] ^= 255
    archive.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"img_align_celeba.zip: 000006.jpg can't be read"):
        list(CelebA(str(tmp_path / "celeba"), seed=0).evaluation_batches("test"))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_tasks_classify(loss):
    task = classify("a", "A", loss=loss)
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.5, 1.0, 3.0]])
    classes = torch.tensor([0, 1])
    expected = {
        "cross_entropy": -(scores.softmax(1)[[0, 1], classes].log().mean()),
        "squared_error": torch.tensor(((1 + 0 + 1) + (0.25 + 0 + 9)) / 2),
    }[loss]
    torch.testing.assert_close(task.loss(scores, classes), expected)
    assert torch.equal(task.readable(scores), torch.tensor([0, 2]))
    assert torch.equal(task.readable(classes), classes)


def test_accuracy_and_error_count_samples_and_are_nan_with_a_broken_score():
    metric = ClassificationMetrics()
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    metric.update(torch.tensor([[0.0, 1.0], [3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1, 0]))
    assert metric.compute() == {"accuracy": 25.0, "error": 75.0}
    metric.update(torch.tensor([[torch.nan, 1.0]]), torch.tensor([1]))
    assert all(np.isnan(value) for value in metric.compute().values())
    with pytest.raises(DataError, match="no target of the evaluated set is valid"):
        ClassificationMetrics().compute()
