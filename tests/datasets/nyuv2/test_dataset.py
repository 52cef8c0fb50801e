"""NYU-v2 from the folder to the batch."""

import numpy as np
import pytest
import torch

from mtl_bench.datasets.nyuv2 import NYUv2
from mtl_bench.datasets.nyuv2.augment import augment, draw
from mtl_bench.datasets.nyuv2.prepare import synth
from mtl_bench.errors import DataError
from mtl_bench.seeding import derive_seed
from tests.datasets.nyuv2 import folder as nyuv2_folder


@pytest.fixture
def folder(tmp_path):
    nyuv2_folder.write(tmp_path / "nyuv2", train=7, val=5)
    return tmp_path / "nyuv2"


def build(folder, **fields):
    return NYUv2(str(folder), **{"seed": 0, **fields})


def same(first, second):
    assert torch.equal(first.images_BCHW, second.images_BCHW)
    assert first.targets.keys() == second.targets.keys()
    return all(torch.equal(first.targets[task], second.targets[task]) for task in first.targets)


def assert_same_batches(first, second):
    pairs = list(zip(first, second, strict=True))
    assert pairs
    assert all(same(*pair) for pair in pairs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_what_is_on_the_disk_is_what_an_evaluation_sees(tmp_path, dtype):
    frames = nyuv2_folder.write(tmp_path / "nyuv2", dtype=dtype)
    data = build(tmp_path / "nyuv2")
    batches = list(data.evaluation_batches("test"))
    assert [len(batch.images_BCHW) for batch in batches] == [2, 1]
    shapes = {task: tuple(target.shape) for task, target in batches[0].targets.items()}
    assert shapes == {
        "segmentation": (2, 12, 16),
        "depth": (2, 1, 12, 16),
        "normal": (2, 3, 12, 16),
    }
    assert batches[0].targets["segmentation"].dtype == torch.int64
    for batch, index in ((batches[0], 0), (batches[0], 1), (batches[1], 2)):
        frame = {
            part: v.astype(dtype).astype(np.float32) for part, v in frames["val", index].items()
        }
        at = index % 2
        assert batch.images_BCHW.dtype == torch.float32
        np.testing.assert_array_equal(batch.images_BCHW[at].permute(1, 2, 0), frame["image"])
        np.testing.assert_array_equal(batch.targets["segmentation"][at], frame["label"])
        np.testing.assert_array_equal(batch.targets["depth"][at, 0], frame["depth"][..., 0])
        np.testing.assert_array_equal(batch.targets["normal"][at].permute(1, 2, 0), frame["normal"])


def test_the_tasks_are_those_of_the_field(folder):
    data = build(folder)
    assert tuple(task.name for task in data.tasks) == NYUv2.task_names
    assert (data.height, data.width) == (12, 16)


def test_every_epoch_has_its_own_order_of_all_frames(folder):
    data = build(folder, augment=False)
    orders = []
    for epoch in (1, 2):
        images = torch.cat([batch.images_BCHW for batch in data.train_batches(epoch)])
        assert len(images) == 7
        orders.append(images)
    assert not torch.equal(*orders)
    assert torch.equal(*(images.sum((1, 2, 3)).sort().values for images in orders))
    assert_same_batches(data.train_batches(1), build(folder, augment=False).train_batches(1))


def test_augmentation_is_a_function_of_seed_epoch_and_frame(folder):
    plain, data = build(folder, augment=False), build(folder)
    order = np.random.default_rng(derive_seed(0, "batches", 3)).permutation(np.arange(7))
    seen = [batch.images_BCHW for batch in data.train_batches(3)]
    for index, image in zip(order, torch.cat(seen), strict=True):
        frame = plain.training_store(3).frame(index)
        generator = np.random.default_rng(derive_seed(0, "augmentation", 3, int(index)))
        assert torch.equal(augment(frame, draw(generator, 12, 16))["image"], image)


def test_epochs_and_seeds_augment_differently(folder):
    def images(seed, epoch):
        batches = build(folder, seed=seed).train_batches(epoch)
        return torch.cat([batch.images_BCHW for batch in batches]).sum((1, 2, 3)).sort().values

    assert not torch.equal(images(0, 1), images(0, 2))
    assert not torch.equal(images(0, 1), images(1, 1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_batches(folder, workers):
    data = build(folder)
    assert_same_batches(data.train_batches(2), data.train_batches(2, workers=workers))
    assert_same_batches(
        data.evaluation_batches("test"), data.evaluation_batches("test", workers=workers)
    )


def test_loading_leaves_the_global_generators_alone(folder):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    list(build(folder).train_batches(1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("start", [1, 3])
def test_an_epoch_can_start_in_its_middle(folder, start):
    data = build(folder)
    rest = list(data.train_batches(4))[start:]
    assert_same_batches(data.train_batches(4, start=start), rest)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [2, 2, 2, 1]), (True, [2, 2, 2])])
def test_the_last_smaller_batch_can_be_left_out(folder, drop_last, sizes):
    data = build(folder, drop_last=drop_last)
    assert [len(batch.images_BCHW) for batch in data.train_batches(1)] == sizes
    assert data.steps_per_epoch == len(sizes)
    assert list(data.train_batches(1, start=len(sizes))) == []


def frames_of(data, split):
    """Return the folder of a split's frames, and their numbers in it."""
    folders, indices = zip(
        *(data.store.frames[number] for number in data.splits[split]), strict=True
    )
    (folder,) = set(folders)
    return folder, list(indices)


def test_without_a_hold_out_there_is_no_validation(folder):
    data = build(folder)
    assert not data.has_validation
    assert frames_of(data, "test") == ("val", [0, 1, 2, 3, 4])
    assert frames_of(data, "train") == ("train", [0, 1, 2, 3, 4, 5, 6])


def test_held_out_frames_validate_and_do_not_train(folder):
    data = build(folder, holdout=3)
    assert data.has_validation
    folder_name, held_out = frames_of(data, "validation")
    assert folder_name == "train"
    assert len(held_out) == 3
    assert sorted(held_out + frames_of(data, "train")[1]) == list(range(7))
    assert frames_of(data, "test")[0] == "val"
    assert frames_of(build(folder, holdout=3), "validation")[1] == held_out
    others = [frames_of(build(folder, holdout=3, seed=s), "validation")[1] for s in range(1, 5)]
    assert any(other != held_out for other in others)


def test_a_part_of_a_folder_is_spread_over_it(folder):
    data = build(folder, train_size=3, test_size=2)
    assert frames_of(data, "train")[1] == [0, 2, 4]
    assert frames_of(data, "test")[1] == [0, 2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train_size": 8}, "dataset.train_size=8 is more than the 7 frames of .*/train$"),
        ({"test_size": 6}, "dataset.test_size=6 is more than the 5 frames of .*/val$"),
        (
            {"holdout": 5, "train_size": 3},
            "dataset.train_size=3 is more than the 2 frames that dataset.holdout=5 leaves of .*/tr",
        ),
        ({"holdout": 7}, "0 samples are left to train on"),
        ({"train_size": 1, "drop_last": True}, "1 samples are left to train on"),
    ],
)
def test_too_few_frames_are_named(folder, fields, message):
    with pytest.raises(DataError, match=message):
        build(folder, **fields)


def test_a_missing_data_set_names_both_ways_to_get_it(tmp_path):
    with pytest.raises(DataError) as info:
        build(tmp_path / "nyuv2")
    assert f"data synth nyuv2 paths.data={tmp_path}" in str(info.value)
    assert f"data prepare nyuv2 mat=FILE paths.data={tmp_path}" in str(info.value)


def test_faults_of_headers_stop_before_training(folder):
    (folder / "train/depth/3.npy").unlink()
    (folder / "val/label/1.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"depth/3.npy .frame 3 of train. is missing .and 1 more"):
        build(folder)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_value_is_one_line_from_any_process(folder, workers):
    values = np.load(folder / "train/depth/3.npy")
    values[0, 0] = np.nan
    np.save(folder / "train/depth/3.npy", values)
    with pytest.raises(
        DataError, match=r"depth/3.npy .frame 3 of train.: 1 values are NaN"
    ) as info:
        list(build(folder).train_batches(1, workers=workers))
    assert "\n" not in str(info.value)
    assert f"`mtl-bench data verify nyuv2 paths.data={folder.parent}`" in str(info.value)


def test_a_few_odd_normals_do_not_stop_a_training(folder):
    path = folder / "train/normal/0.npy"
    values = np.load(path)
    values[5, 5] *= 0.5
    np.save(path, values)
    assert len(list(build(folder).train_batches(1))) == 4
    np.save(path, np.load(path) * 0.5)
    with pytest.raises(DataError, match="normals of length 0"):
        list(build(folder).train_batches(1))


def test_the_origin_tells_real_from_procedural(folder, tmp_path):
    real = build(folder).origin
    assert real["kind"] == "real"
    np.save(folder / "val/depth/0.npy", np.load(folder / "val/depth/0.npy").astype(np.float64))
    assert build(folder).origin["manifest"] != real["manifest"]
    manifests = []
    for seed in (0, 1):
        synth(tmp_path / "rooms", 2, 1, 24, 32, seed, jobs=1, report=lambda line: None)
        origin = build(tmp_path / "rooms").origin
        assert origin["kind"] == "procedural"
        manifests.append(origin["manifest"])
    assert manifests[0] != manifests[1]
