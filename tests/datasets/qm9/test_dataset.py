"""The QM9 benchmark on synthetic molecules: who is in which split, in which order and unit."""

import numpy as np
import pytest
import torch

from mtl_bench.datasets.qm9 import QM9
from mtl_bench.datasets.qm9.dataset import HELD_OUT, split_indices
from mtl_bench.datasets.qm9.targets import TARGETS
from mtl_bench.seeding import derive_seed
from mtl_bench.testing import check_dataset
from tests.synthetic_qm9 import MOLECULES

SIZES = {"train": 40, "validation": 30, "test": 20}

REFERENCES = {
    **{"mu": 0.0671, "alpha": 0.1814, "homo": 60.576, "lumo": 53.915, "r2": 0.5027, "zpve": 4.539},
    **{"u0": 58.838, "u298": 64.244, "h298": 63.852, "g298": 66.223, "cv": 0.07212},
}
"""Single-task errors of Nash-MTL's code, which FAMO and IGB use too."""


def build(data, **fields):
    train, validation, test = SIZES.values()
    sizes = {"train_size": train, "val_size": validation, "test_size": test, "batch_size": 7}
    return QM9(str(data / "qm9"), **{"seed": 0} | sizes | fields)


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_the_parts_of_one_permutation_that_the_seed_draws(seed):
    splits = split_indices(MOLECULES, seed)
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    order = torch.randperm(MOLECULES, generator=generator).numpy()
    assert HELD_OUT == 10_000
    np.testing.assert_array_equal(splits["test"], order[:10_000])
    np.testing.assert_array_equal(splits["validation"], order[10_000:20_000])
    np.testing.assert_array_equal(splits["train"], order[20_000:])


def test_no_molecule_is_in_two_splits_and_other_seeds_split_otherwise():
    splits, other = split_indices(MOLECULES, 0), split_indices(MOLECULES, 1)
    together = np.concatenate(list(splits.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(MOLECULES))
    for name, molecules in splits.items():
        assert set(molecules) != set(other[name])


def test_sizes_take_the_first_molecules_of_their_splits(tiny_data):
    data, whole = build(tiny_data), split_indices(MOLECULES, 0)
    for name, size in SIZES.items():
        np.testing.assert_array_equal(data.splits[name], whole[name][:size])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_errors_are_those_of_the_splits_own_molecules_in_the_units_of_the_cache(tiny_data, split):
    """A network that answers 0 predicts the mean of all molecules."""
    data = build(tiny_data)
    molecules = data.splits[split]
    assert sum(batch.size for batch in data.evaluation_batches(split)) == SIZES[split]
    for t, task in enumerate(data.tasks):
        errors = task.accumulator()
        for batch in data.evaluation_batches(split):
            targets = batch.targets[task.name]
            errors.update(torch.zeros_like(targets), targets)
        raw_M = data.targets[:, t]
        expected = (raw_M[molecules] - raw_M.mean()).abs().mean().item()
        assert errors.compute() == {"mae": pytest.approx(expected, rel=1e-5)}


def test_targets_have_mean_0_and_deviation_1_over_all_molecules(tiny_data):
    targets_MT = build(tiny_data).store.targets_MT.astype(np.float64)
    np.testing.assert_allclose(targets_MT.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(targets_MT.std(axis=0, ddof=1), 1, rtol=1e-6)


@pytest.mark.parametrize("resident", [False, True])
def test_padded_training_batches_of_one_size_have_the_same_shapes(mixed_data, resident):
    data = build(mixed_data, padded=True, resident=resident)
    if resident:
        data.move(torch.device("cpu"))
    check_dataset(data)
    shapes = [
        (batch.groups, batch.atoms_AF.shape, batch.pairs_PE.shape, batch.slots_A.shape)
        for batch in data.train_batches(1)
    ]
    sizes = [7, 7, 7, 7, 7, 5]
    assert shapes == [(((6, n),), (6 * n, 11), (36 * n, 6), (6 * n,)) for n in sizes]
    assert {n for batch in data.evaluation_batches("test") for n, _ in batch.groups} == {3, 4, 5, 6}


def test_the_loss_is_the_mean_squared_error(tiny_data):
    for task in build(tiny_data).tasks:
        assert task.loss(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])) == 2


def test_every_epoch_has_its_own_order_of_the_training_molecules(tiny_data):
    data = build(tiny_data)
    one, two = (
        [name for batch in range(data.steps_per_epoch) for name in data.sample_names(epoch, batch)]
        for epoch in (1, 2)
    )
    assert one != two
    assert sorted(one) == sorted(two) == sorted(map(str, data.splits["train"]))


def test_references_are_the_published_single_task_errors(tiny_data):
    assert {target.name: target.reference for target in TARGETS} == REFERENCES
    for task in build(tiny_data).tasks:
        (metric,) = task.metrics
        assert (metric.name, metric.reference) == ("mae", REFERENCES[task.name])
        assert not metric.higher_is_better
