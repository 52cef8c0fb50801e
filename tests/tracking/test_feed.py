"""What is read of a record, in pieces or at once."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.records.steps import StepLog
from mtl_bench.scores import DeltaM
from mtl_bench.tracking.feed import Feed, epoch_values, final_values, step_values
from tests.records.synthetic import QM9, SCENE_TASKS, qm9_tasks, scaled

TASKS = ("mu", "cv")


def line_of(epoch):
    return {
        "epoch": epoch,
        "train_loss": {"mu": 0.5 / epoch, "cv": None},
        "validation": {"mu": {"mae": 1.0 / epoch}},
        "delta_m_validation": 3.0 - epoch,
        "weights": {"mu": 0.25},
        "seconds": {"forward": 0.125},
    }


class Writer:
    """Writes a record as a training does: rows and lines as they come, files at a save."""

    def __init__(self, folder, components=("",)):
        self.folder = folder
        (folder / "steps").mkdir(parents=True)
        self.logs = [StepLog(folder / "steps", TASKS, component) for component in components]
        self.step = self.epoch = 0

    def add_step(self, epoch):
        self.step += 1
        values = np.array([self.step, 2.0 * self.step])
        for log in self.logs:
            log.add(self.step, epoch, (0, 1), values, values, None, {"reward": 0.5})

    def end_epoch(self, epoch):
        with (self.folder / "metrics.jsonl").open("a") as stream:
            stream.write(json.dumps(line_of(epoch)) + "\n")
        self.epoch = epoch
        self.flush()

    def flush(self):
        for log in self.logs:
            log.flush()


def test_an_epoch_stands_in_the_row_of_its_last_update(tmp_path):
    writer = Writer(tmp_path / "record")
    for epoch in (1, 2):
        for _ in range(5):
            writer.add_step(epoch)
        writer.end_epoch(epoch)
    rows = list(Feed(tmp_path / "record", 4, DeltaM()).read())
    assert [row.step for row in rows] == [4, 5, 8, 10]
    assert rows[0].values == {
        "loss/mu": 4,
        "loss/cv": 8,
        "weight/mu": 4,
        "weight/cv": 8,
        "method/reward": 0.5,
    }
    assert rows[1].values == {
        "loss/mu": 5,
        "loss/cv": 10,
        "weight/mu": 5,
        "weight/cv": 10,
        "method/reward": 0.5,
        "epoch": 1,
        "train_loss/mu": 0.5,
        "validation/mu/mae": 1.0,
        f"{DeltaM.panel}/validation": 2.0,
        "mean_weight/mu": 0.25,
        "seconds/forward": 0.125,
    }


def test_an_update_has_the_numbers_of_all_components(tmp_path):
    writer = Writer(tmp_path / "record", ("critic", "actor"))
    for _ in range(3):
        writer.add_step(1)
    writer.end_epoch(1)
    rows = list(Feed(tmp_path / "record", 1, DeltaM()).read())
    assert [row.step for row in rows] == [1, 2, 3]
    assert rows[1].values == {
        f"{kind}/{component}/{task}": 2 * factor
        for component in ("critic", "actor")
        for kind in ("loss", "weight")
        for task, factor in zip(TASKS, (1, 2), strict=True)
    } | {"method/critic/reward": 0.5, "method/actor/reward": 0.5}
    assert (rows[2].values["loss/actor/cv"], rows[2].values["epoch"]) == (6, 1)


@settings(max_examples=60, deadline=None)
@given(
    epochs=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    every=st.integers(1, 5),
    components=st.sampled_from([("",), ("critic", "actor")]),
    data=st.data(),
)
def test_reading_while_it_is_written_gives_what_reading_it_whole_gives(
    epochs, every, components, data, tmp_path_factory
):
    writer = Writer(tmp_path_factory.mktemp("run") / "record", components)
    live = Feed(writer.folder, every, DeltaM())
    rows, points = [], []

    def look():
        """The reader may lag: it hears of a point when more has been written."""
        while points and data.draw(st.booleans()):
            rows.extend(live.read(*points.pop(0)))

    for epoch, steps in enumerate(epochs, 1):
        for _ in range(steps):
            writer.add_step(epoch)
            if data.draw(st.booleans()):  # a checkpoint within the epoch, its last update included
                writer.flush()
                points.append((writer.epoch, writer.step))
                look()
        writer.end_epoch(epoch)
        points.append((writer.epoch, writer.step))
        look()
    for point in points:
        rows.extend(live.read(*point))
    assert rows == list(Feed(writer.folder, every, DeltaM()).read())
    assert [row.values["epoch"] for row in rows if "epoch" in row.values] == [
        *range(1, len(epochs) + 1)
    ]
    wanted = {*range(every, sum(epochs) + 1, every), *np.cumsum(epochs).tolist()}
    assert [row.step for row in rows] == sorted(wanted)


def test_an_interrupted_epoch_keeps_its_last_row_for_later(tmp_path):
    writer = Writer(tmp_path / "record")
    for _ in range(3):
        writer.add_step(1)
    writer.flush()
    feed = Feed(writer.folder, 1, DeltaM())
    assert [row.step for row in feed.read(0, 3)] == [1, 2]
    writer.end_epoch(1)
    (row,) = feed.read(1, 3)
    assert (row.step, row.values["epoch"]) == (3, 1)


def test_a_line_that_is_being_written_waits(tmp_path):
    path = tmp_path / "metrics.jsonl"
    text = json.dumps(line_of(1)) + "\n"
    path.write_text(text[:20])
    feed = Feed(tmp_path, 1, DeltaM())
    assert list(feed.read()) == []
    path.write_text(text)
    assert [row.values["epoch"] for row in feed.read()] == [1]


def test_without_a_step_log_the_epochs_are_there(tmp_path):
    writer = Writer(tmp_path / "record")
    for epoch in (1, 2, 3):
        for _ in range(4):
            writer.add_step(epoch)
        writer.end_epoch(epoch)
    (tmp_path / "record" / "steps" / "part-000000005.parquet").unlink()
    rows = list(Feed(writer.folder, 100, DeltaM()).read())
    assert [(row.step, row.values["epoch"]) for row in rows] == [(4, 1), (5, 2), (12, 3)]
    for path in (tmp_path / "record" / "steps").iterdir():
        path.unlink()
    rows = list(Feed(writer.folder, 100, DeltaM()).read())
    assert [(row.step, row.values["epoch"]) for row in rows] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("text", ["{\n", "nonsense\n"])
def test_a_damaged_line_is_an_error(text, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ValueError, match="line 1 column"):
        list(Feed(tmp_path, 1, DeltaM()).read())


def test_what_a_step_lacks_is_left_out():
    row = {"step": 3, "epoch": 1, "loss/mu": math.nan, "loss/cv": 1.0, "seconds_forward": 2.0}
    assert step_values(row | {"reward": None, "td_error": 0.0}) == {
        "loss/cv": 1.0,
        "method/td_error": 0.0,
    }


def test_the_delta_m_of_an_epoch_says_against_what():
    assert epoch_values({"epoch": 2, "delta_m_test": 1.5}, DeltaM()) == {
        "epoch": 2,
        f"{DeltaM.panel}/test": 1.5,
    }
    assert epoch_values({"epoch": 2, "delta_m_test": None}, DeltaM()) == {"epoch": 2}


def test_final_delta_m_under_each_rule():
    summary = {
        "tasks": qm9_tasks(),
        "metrics": {"last": scaled(1.25), "best_val": scaled(0.5)},
        "seconds": {"train_epoch": 3.0},
        "parameters": {"total": 10},
        "peak_memory_bytes": None,
        "epochs": 4,
    }
    values = final_values(summary)
    assert values[f"final/last/{DeltaM.panel}"] == pytest.approx(25)
    assert values[f"final/best_val/{DeltaM.panel}"] == pytest.approx(-50)
    assert values["final/best_val/mu/mae"] == pytest.approx(0.5 * QM9["mu"][3])
    assert values["final/seconds/train_epoch"] == 3.0
    assert values["final/parameters/total"] == 10
    assert "final/peak_memory_bytes" not in values


def test_no_delta_m_without_published_values():
    metrics = {"semantic": {"miou": 50.0}, "depth": {"abs": 0.5}}
    values = final_values({"tasks": SCENE_TASKS, "metrics": {"last": metrics}})
    assert values == {"final/last/semantic/miou": 50.0, "final/last/depth/abs": 0.5}


def test_delta_m_is_over_the_metrics_with_published_values():
    tasks = qm9_tasks("mu", "cv") | SCENE_TASKS
    tasks["mu"]["metrics"]["mae"]["reference"] = -0.5
    metrics = {
        "mu": {"mae": -1.0},
        "cv": {"mae": 0.07212},
        "semantic": {"miou": 50.0},
        "depth": {"abs": 0.5},
    }
    values = final_values({"tasks": tasks, "metrics": {"last": metrics}})
    assert values[f"final/last/{DeltaM.panel}"] == pytest.approx(-50)
