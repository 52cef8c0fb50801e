from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_bench.reporting.page.series import (
    FEWEST,
    POINTS,
    Bins,
    curve,
    epoch_curves,
    four_digits,
    step_curves,
)
from tests.reporting.page.runs import add_steps


def test_bins_are_means_over_neighbours() -> None:
    bins = Bins.empty([("a",), ("b", "c")], 5, 3)
    bins.add(np.arange(1, 6), np.array([[1, 3, 10, 20, 7], [1, 1, 2, 2, 3]], dtype=float))
    assert bins.width == 2
    assert bins.tree() == {"a": [2, 15, 7], "b": {"c": [1, 2, 3]}}


def test_what_is_not_finite_is_left_out_and_an_empty_bin_is_none() -> None:
    bins = Bins.empty([("a",), ("never",)], 4, 2)
    nothing = [np.nan, np.nan]
    bins.add(np.arange(1, 5), np.array([[np.inf, 3, *nothing], [*nothing, *nothing]], dtype=float))
    assert bins.tree() == {"a": [3, None]}


def test_a_constant_curve_is_one_number() -> None:
    assert curve(np.array([2.0, 4.0]), np.array([2.0, 4.0])) == 1
    assert curve(np.array([2.0, 0.0]), np.array([2.0, 0.0])) == [1, None]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1 / 3, 0.3333), (12345.6, 12350), (-1.23456e-9, -1.235e-9), (0.0, 0), (2e300, 2e300)],
)
def test_four_digits(value: float, shown: float) -> None:
    assert four_digits(value) == shown


@given(
    st.lists(st.integers(-1000, 1000), min_size=2 * FEWEST, max_size=900),
    st.integers(2 * FEWEST, POINTS),
    st.integers(1, 900),
)
def test_merged_bins_are_the_bins_of_twice_the_width(
    numbers: list[int], points: int, cut: int
) -> None:
    """Taken in in two pieces and merged, or taken in at once into wider bins: the same sums."""
    values_CR, positions = np.array([numbers], dtype=float), np.arange(1, len(numbers) + 1)
    fine = Bins.empty([("a",)], len(numbers), points)
    for piece in (slice(0, cut), slice(cut, None)):
        fine.add(positions[piece], values_CR[:, piece])
    merged = fine.halved()
    if merged is fine:
        assert fine.sums_CB.shape[1] < 2 * FEWEST
        return
    shape = merged.sums_CB.shape
    wide = Bins(fine.keys, 2 * fine.width, np.zeros(shape), np.zeros(shape))
    wide.add(positions, values_CR)
    assert merged.width == wide.width
    assert (merged.sums_CB == wide.sums_CB).all()
    assert (merged.counts_CB == wide.counts_CB).all()


def test_the_step_log_gives_weights_lengths_and_cosines(tmp_path: Path) -> None:
    add_steps(tmp_path, 900, gram=True)
    (single, pairs), damaged, missing = step_curves(tmp_path / "steps", 900)
    assert (damaged, missing) == ([], "")
    tree = single.tree()
    assert tree["weight"]["semantic"] == 1
    assert tree["weight"]["normal"] == [
        pytest.approx(1 + 2 * (3 * b + 2) / 900, rel=1e-3) for b in range(300)
    ]
    generator = np.random.default_rng(0)
    grads_STP = np.stack([generator.normal(size=(3, 5)) for _ in range(900)])
    lengths_ST = np.linalg.norm(grads_STP, axis=2)
    expected = lengths_ST[:, 1].reshape(300, 3).mean(axis=1)
    assert tree["norm"]["depth"] == pytest.approx(expected.tolist(), rel=1e-3)
    cosines_S = (grads_STP[:, 0] * grads_STP[:, 2]).sum(1) / (lengths_ST[:, 0] * lengths_ST[:, 2])
    expected = cosines_S.reshape(300, 3).mean(axis=1)
    assert pairs.tree()["cosine"]["semantic"]["normal"] == pytest.approx(expected, abs=1e-3)


def test_a_torn_part_leaves_a_gap_of_its_own(tmp_path: Path) -> None:
    add_steps(tmp_path, 900, gram=True)
    torn = tmp_path / "steps" / "part-000000301.parquet"
    torn.write_bytes(torn.read_bytes()[:200])
    (single, _), damaged, missing = step_curves(tmp_path / "steps", 900)
    assert (damaged, missing) == ([torn.name], "")
    weights = single.tree()["weight"]["semantic"]
    assert [value is None for value in weights] == [100 <= bin < 200 for bin in range(300)]


@pytest.mark.parametrize(
    ("first", "missing"), [(1, "1 to 300"), (301, "301 to 600"), (601, "601 to 900")]
)
def test_a_missing_part_is_a_gap_that_is_told(tmp_path: Path, first: int, missing: str) -> None:
    add_steps(tmp_path, 900, gram=True)
    (tmp_path / "steps" / f"part-{first:09d}.parquet").unlink()
    (single, _), damaged, told = step_curves(tmp_path / "steps", 900)
    assert (damaged, told) == ([], missing)
    found = sum(value is not None for value in single.tree()["weight"]["normal"])
    assert found * single.width == 600


def test_without_parts_there_are_no_curves(tmp_path: Path) -> None:
    assert step_curves(tmp_path / "steps") == ([], [], "")
    assert step_curves(tmp_path / "steps", 900) == ([], [], "1 to 900")
    assert epoch_curves(tmp_path / "metrics.jsonl", "delta_m").tree() == {}


def test_lines_and_values_of_epochs_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "train_loss": {"a": 1.5, "b": "many"}, "test": {"a": {"mae": 2}}}\n'
        'oops\n[]\n{"epoch": "2"}\n{"epoch": -1, "train_loss": {"a": 9}}\n'
        '{"epoch": 3, "train_loss": {"a": NaN}, "test": {"a": 7, "b": {"mae": 4}}}\n{"epoch'
    )
    assert epoch_curves(tmp_path / "metrics.jsonl", "delta_m").tree() == {
        "loss": {"a": [1.5, None, None]},
        "test": {"a": {"mae": [2, None, None]}, "b": {"mae": [None, None, 4]}},
    }
