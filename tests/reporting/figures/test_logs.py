import json
import math

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyarrow import parquet

from mtl_bench.errors import RecordError
from mtl_bench.records.epochs import read_epochs
from mtl_bench.records.steps import Span, StepLog, missing_steps, step_series
from mtl_bench.reporting.figures.series import epoch_series
from mtl_bench.reporting.page import series as page
from mtl_bench.scores import DeltaM
from mtl_bench.tracking.feed import Feed


@pytest.fixture
def record(tmp_path):
    log = StepLog(tmp_path / "steps", ("a", "b"))
    for step in range(1, 26):
        weights_T = np.array([step, 100 - step], dtype=float)
        log.add(step, 1, (0, 1), np.ones(2), weights_T, None, {})
        if step in (9, 10):
            log.flush()
    log.flush()
    return tmp_path


def test_parts_come_back_in_the_order_of_the_steps(record):
    steps_N, weights_NK = step_series(record, ["weight/b", "weight/a"])
    assert_array_equal(steps_N, range(1, 26))
    assert_allclose(weights_NK, np.stack([100 - steps_N, steps_N], axis=1))


def test_a_column_that_is_not_there_is_no_error(record):
    assert step_series(record, ["gram/a"]) is None


def test_a_damaged_part_is_named(record):
    (record / "steps" / "part-000000010.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RecordError, match=r"part-000000010\.parquet can't be read"):
        step_series(record, ["weight/a"])


@pytest.mark.parametrize(("part", "missing"), [(1, "1 to 9"), (10, "10 to 10"), (11, "11 to 25")])
def test_a_missing_part_of_a_whole_run_is_told(record, part, missing):
    (record / "steps" / f"part-{part:09d}.parquet").unlink()
    with pytest.raises(RecordError, match=f"steps lacks updates {missing}$"):
        step_series(record, ["weight/a"], 25)


def test_the_end_of_a_run_of_unknown_length_cannot_be_missed(record):
    assert len(step_series(record, ["weight/a"])[0]) == 25
    with pytest.raises(RecordError, match=r"lacks updates 26 to 30$"):
        step_series(record, ["weight/a"], 30)


@pytest.mark.parametrize(
    ("parts", "steps", "missing"),
    [
        ([], 0, ""),
        ([], 10, "1 to 10"),
        ([(1, 5, 5), (6, 10, 5)], 10, ""),
        ([(3, 4, 2), (8, 8, 1)], 10, "1 to 2, 5 to 7, 9 to 10"),
        ([None, (6, 10, 5)], 10, ""),
        ([(1, 5, 5), None], 10, ""),
        ([None, (6, 8, 3)], 10, "9 to 10"),
        ([(2, 3, 2), None, (8, 8, 1)], 8, "1 to 1"),
        # every third step
        ([(3, 6, 2), (9, 9, 1)], 11, ""),
        ([(3, 6, 2), (12, 15, 2)], 18, "7 to 11, 16 to 18"),
        # a checkpoint at every step that is kept
        ([(1, 1, 1), (2, 2, 1), (4, 4, 1)], 4, "3 to 3"),
        ([(5, 5, 1), (10, 10, 1), (20, 20, 1)], 21, "11 to 19"),
        ([(1, 1, 1)], 24, "2 to 24"),
        ([(24, 24, 1)], 24, ""),
        # every fifth step, and after another start each
        ([(5, 10, 2), (11, 14, 4)], 14, ""),
        ([(1, 4, 4), (5, 15, 3)], 17, ""),
    ],
)
def test_missing_steps(parts, steps, missing):
    assert missing_steps([part and Span(*part) for part in parts], steps) == missing


@pytest.mark.parametrize(("every", "last"), [(1, 50), (4, 48)])
def test_a_log_of_every_fourth_step_is_whole(tmp_path, every, last):
    log = StepLog(tmp_path / "steps", ("a", "b"), every=every)
    for step in range(1, 101):
        log.add(step, 1, (0, 1), np.ones(2), np.array([step, 1.0]), None, {})
        if step % 25 == 0:
            log.flush()
    steps_N, weights_NK = step_series(tmp_path, ["weight/a"], 100)
    assert_array_equal(steps_N, range(every, 101, every))
    assert_array_equal(weights_NK[:, 0], steps_N)
    (bins, _), damaged, missing = page.step_curves(tmp_path / "steps", 100)
    assert (damaged, missing) == ([], "")
    assert bins.counts_CB[0].sum() == 100 // every
    sorted((tmp_path / "steps").iterdir())[2].unlink()
    assert page.step_curves(tmp_path / "steps", 100).missing == f"{last + 1} to 75"


def test_no_step_log_is_told(tmp_path):
    with pytest.raises(RecordError, match="no step log"):
        step_series(tmp_path, ["weight/a"])


def test_epochs_without_a_number_are_nan(tmp_path):
    lines = [
        {"epoch": 1, "test": {"a": {"mae": 2.5}}},
        {"epoch": 2, "test": {"a": {"mae": None}}},
        {"epoch": 3, "test": {}},
        {"epoch": 4, "test": {"a": {"mae": math.inf}}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    epochs_E, values_E = epoch_series(read_epochs(tmp_path / "metrics.jsonl"), "test", "a", "mae")
    assert_array_equal(epochs_E, [1, 2, 3, 4])
    assert_array_equal(values_E, [2.5, math.nan, math.nan, math.nan])


@pytest.mark.parametrize("text", ['{"epoch": 1', "[1]\n", None])
def test_a_damaged_file_of_epochs_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(RecordError, match="metrics"):
        read_epochs(tmp_path / "metrics.jsonl")


def part_of(record, columns):
    parquet.write_table(pa.table(columns), record / "steps" / "part-000000010.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"step": [1], "weight/a": ["<script>"]}, "column weight/a has type string"),
        ({"step": [1], "weight/a": [[1.0]]}, "column weight/a has type list"),
    ],
)
def test_a_part_of_other_columns_than_of_numbers_is_named(record, columns, message):
    part_of(record, columns)
    with pytest.raises(RecordError, match=rf"part-000000010\.parquet can't be read: {message}"):
        step_series(record, ["weight/a"])
    (record / "metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(RecordError, match=message):
        list(Feed(record, 1, DeltaM()).read())
    assert page.step_curves(record / "steps").damaged == ["part-000000010.parquet"]


@pytest.mark.parametrize("step", [-5, 0, 2**62, None])
def test_the_page_survives_any_numbers(record, step):
    part_of(record, {"step": [step], "loss/a": [1e308], "weight/a": [1e308], "weight/b": [None]})
    entry = {"epoch": 1, "train_loss": {"a": 10**400}, "test": {"a": {"mae": 1e308}}}
    (record / "metrics.jsonl").write_text(json.dumps(entry) + "\n[\n")
    for bins in (
        page.epoch_curves(record / "metrics.jsonl", "delta_m"),
        *page.step_curves(record / "steps").curves,
    ):
        assert np.isfinite(bins.sums_CB).all()
