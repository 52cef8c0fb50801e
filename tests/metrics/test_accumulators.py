"""What every accumulator of dense predictions must do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.errors import DataError
from mtl_bench.metrics import MeanAbsoluteError
from tests.metrics.dense import CASES, Batch, Case, measure, reference

MEDIAN_TOLERANCE = 0.5 / 1024 + 1e-9

few = settings(max_examples=20, deadline=None)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
pixel_cases = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.average == "pixel"],
    ids=[name for name, case in CASES.items() if case.average == "pixel"],
)


class Set(NamedTuple):
    """Shapes and seed of a small set; the batches differ in size and in what is valid."""

    sizes: list[int]
    void: list[bool]
    seed: int

    def batches(self, case: Case) -> list[Batch]:
        rng = np.random.default_rng(self.seed)
        made = []
        for size, void in zip(self.sizes, self.void, strict=True):
            prediction, target = case.draw(rng, (size, 3, 4))
            made.append((prediction, np.full_like(target, case.void) if void else target))
        made.append(case.draw(rng, (2, 3, 4)))  # so that some pixel is valid
        return made


@st.composite
def sets(draw: st.DrawFn) -> Set:
    sizes = draw(st.lists(st.integers(1, 3), max_size=4))
    void = [draw(st.booleans()) for _ in sizes]
    return Set(sizes, void, draw(st.integers(0, 2**32 - 1)))


def agree(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        tolerance = 2 * MEDIAN_TOLERANCE if name == "angle_median" else 1e-6
        assert value == pytest.approx(expected[name], rel=1e-6, abs=tolerance), name


@every_case
@few
@given(drawn=sets())
def test_agrees_with_numpy(case: Case, drawn: Set) -> None:
    batches = drawn.batches(case)
    agree(measure(case, batches), reference(case, batches))


@every_case
@few
@given(drawn=sets())
def test_order_of_batches_does_not_matter(case: Case, drawn: Set) -> None:
    batches = drawn.batches(case)
    found = measure(case, batches)
    assert measure(case, batches[::-1]) == pytest.approx(found, rel=1e-12)


@pixel_cases
@few
@given(drawn=sets())
def test_size_of_batches_does_not_matter_over_pixels(case: Case, drawn: Set) -> None:
    batches = drawn.batches(case)
    prediction, target = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    singly = [(prediction[i : i + 1], target[i : i + 1]) for i in range(len(target))]
    assert measure(case, singly) == pytest.approx(measure(case, [(prediction, target)]), rel=1e-12)


@every_case
@few
@given(drawn=sets())
def test_place_of_pixels_does_not_matter(case: Case, drawn: Set) -> None:
    batches = drawn.batches(case)
    rng = np.random.default_rng(drawn.seed)
    rows, columns = rng.permutation(3), rng.permutation(4)
    moved = [
        (p[..., rows, :][..., columns].copy(), t[..., rows, :][..., columns].copy())
        for p, t in batches
    ]
    assert measure(case, moved) == pytest.approx(measure(case, batches), rel=1e-12)


@every_case
@few
@given(drawn=sets())
def test_perfect_prediction(case: Case, drawn: Set) -> None:
    perfect = [(case.perfect(target), target) for _, target in drawn.batches(case)]
    # angles of float32 vectors are good to 0.03 degrees
    assert measure(case, perfect) == pytest.approx(case.best, abs=0.03)


@every_case
@pytest.mark.parametrize("junk", [7.5, float("nan"), float("inf")])
@few
@given(drawn=sets())
def test_predictions_at_invalid_pixels_do_not_matter(case: Case, drawn: Set, junk: float) -> None:
    batches = drawn.batches(case)
    changed = []
    for prediction, target in batches:
        void = target == case.void
        if target.ndim < prediction.ndim:
            void = void[:, None]
        elif target.shape[1] == 3:
            void = void.all(axis=1, keepdims=True)
        changed.append((np.where(void, np.float32(junk), prediction), target))
    assert measure(case, changed) == measure(case, batches)


@every_case
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -float("inf")])
@few
@given(drawn=sets())
def test_a_prediction_that_is_not_finite_is_never_a_plausible_number(
    case: Case, drawn: Set, junk: float
) -> None:
    *others, (prediction, target) = drawn.batches(case)
    valid = target != case.void
    where = valid.nonzero() if target.ndim < prediction.ndim else valid.any(axis=1).nonzero()
    image, row, column = (axis[0] for axis in where)
    prediction[image, :, row, column] = junk
    found = measure(case, [*others, (prediction, target)])
    assert not np.isfinite(list(found.values())).all()


@every_case
def test_batches_without_a_valid_pixel_take_no_part(case: Case) -> None:
    rng = np.random.default_rng(0)
    prediction, target = case.draw(rng, (2, 3, 4))
    void = (prediction, np.full_like(target, case.void))
    alone = measure(case, [(prediction, target)])
    assert measure(case, [void, (prediction, target), void]) == alone


@every_case
def test_set_without_a_valid_pixel_is_an_error(case: Case) -> None:
    prediction, target = case.draw(np.random.default_rng(0), (2, 3, 4))
    void = (prediction, np.full_like(target, case.void))
    for batches in ([], [void], [void, void]):
        with pytest.raises(DataError, match="no target of the evaluated set is valid"):
            measure(case, batches)


@every_case
def test_update_never_asks_for_a_value(case: Case) -> None:
    # tensors of the meta device have none: whatever would wait for a GPU fails there
    prediction, target = case.draw(np.random.default_rng(0), (2, 3, 4))
    accumulator = case.accumulator()
    for _ in range(2):
        accumulator.update(
            torch.from_numpy(prediction).to("meta"), torch.from_numpy(target).to("meta")
        )


@pytest.mark.parametrize("name", ["depth", "normal"])
def test_the_two_averages_differ_where_batches_are_uneven(name: str) -> None:
    rng = np.random.default_rng(0)
    full, sparse = (CASES[f"{name}_batch"].draw(rng, (2, 3, 4)) for _ in range(2))
    sparse[1][0] = 0
    by_batch, by_pixel = (
        measure(CASES[f"{name}_{average}"], [full, sparse]) for average in ("batch", "pixel")
    )
    assert all(abs(by_batch[key] - by_pixel[key]) > 1e-3 for key in by_batch if "err" in key)
    assert by_batch != by_pixel


def test_float64_sums_do_not_lose_small_errors() -> None:
    metric = MeanAbsoluteError()
    metric.update(torch.tensor([1e8]), torch.zeros(1))
    for _ in range(1000):
        metric.update(torch.ones(1), torch.zeros(1))
    assert metric.compute()["mae"] == (1e8 + 1000) / 1001


def test_mean_absolute_error_in_the_reported_unit() -> None:
    metric = MeanAbsoluteError(scale=10.0)
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
    metric.update(torch.tensor([5.0]), torch.tensor([5.0]))
    assert metric.compute() == {"mae": 10.0}


def test_mean_absolute_error_of_nothing_is_an_error() -> None:
    with pytest.raises(DataError):
        MeanAbsoluteError().compute()
