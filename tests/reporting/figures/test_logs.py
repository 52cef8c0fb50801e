import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mtl_bench.errors import RecordError
from mtl_bench.records.steps import StepLog
from mtl_bench.reporting.figures.logs import epoch_series, read_epochs, read_steps


@pytest.fixture
def record(tmp_path):
    log = StepLog(tmp_path / "steps", ("a", "b"))
    log.folder.mkdir()
    for step in range(1, 26):
        weights_T = np.array([step, 100 - step], dtype=float)
        log.add(step, 1, (0, 1), np.ones(2), weights_T, None, {})
        if step in (9, 10):
            log.flush()
    log.flush()
    return tmp_path


def test_parts_come_back_in_the_order_of_the_steps(record):
    steps_N, weights_NK = read_steps(record, ["weight/b", "weight/a"])
    assert_array_equal(steps_N, range(1, 26))
    assert_allclose(weights_NK, np.stack([100 - steps_N, steps_N], axis=1))


def test_a_column_that_is_not_there_is_no_error(record):
    assert read_steps(record, ["gram/a"]) is None


def test_a_damaged_part_is_named(record):
    (record / "steps" / "part-000000010.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RecordError, match=r"part-000000010\.parquet can't be read"):
        read_steps(record, ["weight/a"])


def test_no_step_log_is_told(tmp_path):
    with pytest.raises(RecordError, match="no step log"):
        read_steps(tmp_path, ["weight/a"])


def test_epochs_without_a_number_are_nan(tmp_path):
    lines = [
        {"epoch": 1, "test": {"a": {"mae": 2.5}}},
        {"epoch": 2, "test": {"a": {"mae": None}}},
        {"epoch": 3, "test": {}},
        {"epoch": 4, "test": {"a": {"mae": math.inf}}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    epochs_E, values_E = epoch_series(read_epochs(tmp_path), "test", "a", "mae")
    assert_array_equal(epochs_E, [1, 2, 3, 4])
    assert_array_equal(values_E, [2.5, math.nan, math.nan, math.nan])


@pytest.mark.parametrize("text", ['{"epoch": 1', "[1]\n", None])
def test_a_damaged_file_of_epochs_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(RecordError, match="metrics"):
        read_epochs(tmp_path)
