from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from mtl_bench.scores import DeltaM, MeanOf
from mtl_bench.tracking.console import TrainingConsole, make_console
from mtl_bench.tracking.panel import bar, panel, task_lines
from mtl_bench.tracking.status_line import ProgressDisplay, clock_text, number_text
from tests.records.synthetic import qm9_tasks, scaled


class Clock:
    """Seconds that grow when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain(clock: Callable[[], float]) -> tuple[TrainingConsole, io.StringIO]:
    stream = io.StringIO()
    return TrainingConsole(Console(file=stream, force_terminal=False), clock=clock), stream


def live(clock: Callable[[], float]) -> tuple[TrainingConsole, io.StringIO]:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=100, height=30, _environ={"TERM": "xterm"}
    )
    return TrainingConsole(console, clock=clock), stream


def run_epoch(console: TrainingConsole, clock: Clock, steps: int, seconds: float = 0.1) -> None:
    for step in range(1, steps + 1):
        clock.now += seconds
        console.step(step)


def test_a_log_file_gets_one_line_an_epoch() -> None:
    clock = Clock()
    console, stream = plain(clock)
    with console:
        note = "Δm is against the published STL"
        console.start("ls on qm9", epochs=3, steps_per_epoch=20, tasks=["a", "b"], note=note)
        for epoch, delta in enumerate((312.4, 298.1, 301.0), start=1):
            run_epoch(console, clock, 20)
            clock.now += 1.0  # the evaluation
            losses = {"a": 0.5, "b": 0.524}
            console.epoch({"epoch": epoch, "train_loss": losses, "delta_m_validation": delta})
        console.message("best [bold] epoch: 2")
    assert stream.getvalue() == (
        "ls on qm9: 3 epochs of 20 steps; Δm is against the published STL\n"
        "epoch 1/3  loss 0.512  validation Δm +312.4 % (best)  10.0 steps/s  left 0:06\n"
        "epoch 2/3  loss 0.512  validation Δm +298.1 % (best)  10.0 steps/s  left 0:03\n"
        "epoch 3/3  loss 0.512  validation Δm +301.0 % (best +298.1 % at 2)  10.0 steps/s"
        "  left 0:00\n"
        "best [bold] epoch: 2\n"
    )


def test_runs_side_by_side_begin_their_lines_with_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_console("named", "ls seed0") as console:
        console.start("results/ls", epochs=1, steps_per_epoch=1, tasks=["a"])
        console.step(1)
        console.epoch({"epoch": 1, "train_loss": {"a": 1.0}})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("ls seed0: ") for line in lines)


def test_a_long_epoch_gets_a_line_a_minute() -> None:
    clock = Clock()
    console, stream = plain(clock)
    console.start("ls", epochs=2, steps_per_epoch=150, tasks=["a"])
    for step in range(1, 151):
        clock.now += 1.0
        console.step(step, lambda: {"a": 0.25})
    assert stream.getvalue().splitlines()[1:] == [
        "epoch 1/2  step 60/150  loss 0.250  1.00 steps/s  left 4:00",
        "epoch 1/2  step 120/150  loss 0.250  1.00 steps/s  left 3:00",
    ]


def test_without_validation_no_epoch_is_the_best() -> None:
    clock = Clock()
    console, stream = plain(clock)
    console.start("ls", epochs=1, steps_per_epoch=2, tasks=["a"])
    run_epoch(console, clock, 2)
    console.epoch({"epoch": 1, "train_loss": {"a": 1.0}, "delta_m_test": 3.0})
    line = "epoch 1/1  loss 1.00  test Δm +3.0 %  10.0 steps/s  left 0:00"
    assert stream.getvalue().splitlines()[1] == line


@pytest.mark.parametrize(("split", "told"), [("validation", " (best)"), ("test", "")])
def test_of_a_score_that_is_better_when_higher_the_highest_is_the_best(split, told) -> None:
    clock = Clock()
    console, stream = plain(clock)
    score = MeanOf("success", decimals=2)
    console.start("ls", epochs=3, steps_per_epoch=2, tasks=["a"], score=score)
    for epoch, value in ((1, 0.25), (2, 0.75), (3, 0.5)):
        run_epoch(console, clock, 2)
        console.epoch({"epoch": epoch, "train_loss": {"a": 1.0}, f"success_{split}": value})
    shown = [line.split("  ")[2] for line in stream.getvalue().splitlines()[1:]]
    last = " (best 0.75 at 2)" if told else ""
    assert shown == [
        f"{split} success 0.25{told}",
        f"{split} success 0.75{told}",
        f"{split} success 0.50{last}",
    ]


def test_where_there_is_no_delta_the_validation_loss_is_shown() -> None:
    clock = Clock()
    console, stream = plain(clock)
    console.start("ls", epochs=2, steps_per_epoch=2, tasks=["a", "b"])
    for epoch, loss in ((1, 0.1), (2, 0.3)):
        run_epoch(console, clock, 2)
        line = {"epoch": epoch, "train_loss": {"a": 1.0}, "validation_loss": {"a": loss, "b": 0.3}}
        console.epoch(line)
    assert stream.getvalue().splitlines()[1:] == [
        "epoch 1/2  loss 1.00  validation loss 0.200 (best)  10.0 steps/s  left 0:00",
        "epoch 2/2  loss 1.00  validation loss 0.300 (best 0.200 at 1)  10.0 steps/s  left 0:00",
    ]


def test_no_validation_delta_is_left_out() -> None:
    clock = Clock()
    console, stream = plain(clock)
    console.start("ls", epochs=1, steps_per_epoch=2, tasks=["a"])
    run_epoch(console, clock, 2)
    console.epoch({"epoch": 1, "train_loss": {"a": 1.0}, "delta_m_validation": None})
    assert stream.getvalue().splitlines()[1] == "epoch 1/1  loss 1.00  10.0 steps/s  left 0:00"


def test_a_resumed_run_remembers_its_best_epoch() -> None:
    clock = Clock()
    console, stream = plain(clock)
    history = [{"epoch": e, "delta_m_validation": d} for e, d in ((1, 5.0), (2, -3.0), (3, 4.0))]
    console.start("ls", epochs=6, steps_per_epoch=10, tasks=["a"], first_epoch=4, history=history)
    run_epoch(console, clock, 10)
    console.epoch({"epoch": 4, "train_loss": {"a": 1.0}, "delta_m_validation": 1.0})
    assert stream.getvalue().splitlines() == [
        "ls: 6 epochs of 10 steps, resumed at epoch 4",
        "epoch 4/6  loss 1.00  validation Δm +1.0 % (best -3.0 % at 2)  10.0 steps/s  left 0:02",
    ]


def test_speed_after_a_resume_within_an_epoch() -> None:
    clock = Clock()
    console, stream = plain(clock)
    console.start("ls", epochs=3, steps_per_epoch=100, tasks=["a"], first_epoch=2)
    for step in range(81, 101):
        clock.now += 0.1
        console.step(step)
    console.epoch({"epoch": 2, "train_loss": {"a": 1.0}})
    assert stream.getvalue().splitlines()[1] == "epoch 2/3  loss 1.00  10.0 steps/s  left 0:10"


def test_progress_off_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with make_console("off") as console:
        console.start("ls", epochs=1, steps_per_epoch=1, tasks=["a"])
        console.step(1)
        console.epoch({"epoch": 1, "train_loss": {"a": 1.0}})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("make", [plain, live])
def test_numbers_are_fetched_only_to_be_shown(make: Callable) -> None:
    clock = Clock()
    console, _ = make(clock)
    fetched = []

    def losses() -> dict[str, float]:
        fetched.append(clock.now)
        return {"a": 1.0}

    with console:
        console.start("ls", epochs=1, steps_per_epoch=100_000, tasks=["a"])
        for step in range(1, 1001):
            clock.now += 0.01
            console.step(step, losses, {"a": 1.0})
    assert len(fetched) == (0 if make is plain else pytest.approx(10 / (1 / 8), abs=5))


def test_the_terminal_shows_where_the_run_is() -> None:
    clock = Clock()
    console, stream = live(clock)
    with console:
        console.start(
            "taskforce on qm9",
            epochs=3,
            steps_per_epoch=4,
            tasks=["homo", "lumo"],
            note="Δm leaves out homo r2 (none)",
        )
        run_epoch(console, clock, 4)
        console.epoch({"epoch": 1, "train_loss": {}, "delta_m_validation": -1.5})
        clock.now += 1.0
        console.step(2, {"homo": 0.5, "lumo": 2.0}, {"homo": 0.25, "lumo": 0.75})
        console.message("a line above")
    shown = stream.getvalue()
    assert "evaluating" in shown
    assert shown.count("Δm leaves out homo r2 (none)") == 1
    assert "a line above" in shown
    last = shown.rpartition("taskforce on qm9")[2]
    for part in ("2/3", "2/4", "validation Δm -1.5 % (best)", "0.500", "0.750", "██"):
        assert part in last
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_an_error_leaves_the_terminal_as_it_was() -> None:
    console, stream = live(Clock())

    def train() -> None:
        with console:
            console.start("ls", epochs=3, steps_per_epoch=4, tasks=["a"])
            raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        train()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")


def test_step_before_start_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="start"):
        TrainingConsole().step(1)


def test_closing_summary(tmp_path: Path) -> None:
    console, stream = plain(Clock())
    summary = {
        "selection": "best_val",
        "epochs": 30,
        "profile": "mini",
        "data": {"kind": "real"},
        "metrics": {"best_val": scaled(2.0, "homo")},
        "tasks": qm9_tasks("mu", "homo"),
        "untrained": ["homo"],
    }
    console.finish(Path("results/mini/qm9/ls/seed0-0123abcd"), summary, ["mtl-bench tables"])
    assert stream.getvalue() == (
        "finished 30 epochs; test metrics, selection best_val, real data, profile mini:\n"
        "  μ [D] ↓             –\n"
        "  ε_HOMO [meV] ↓  121.2\n"
        "no training label of task homo in the whole run: its metrics are those of an untrained "
        "head\n"
        "record: results/mini/qm9/ls/seed0-0123abcd\n"
        "next:\n"
        "  mtl-bench tables\n"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_eleven_tasks_fit_the_terminal(width: int) -> None:
    tasks = tuple(qm9_tasks())
    clock = Clock()
    progress = ProgressDisplay("taskforce", 30, 924, tasks, 1, clock, DeltaM())
    clock.now += 1.0
    progress.counted = 17
    progress.at_step(17)
    losses = dict.fromkeys(tasks, 0.000123456)
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(panel(progress, losses, dict.fromkeys(tasks, 1 / 11), width))
    lines = stream.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert stream.getvalue().count("0.0909") == 11
    assert len(lines) <= 10


def test_bars_are_relative_to_the_largest_weight() -> None:
    text = task_lines(["a", "b", "c"], {}, {"a": 2.0, "b": 1.0, "c": -1.0}, 200)[1].plain
    assert "████ 2.00" in text
    assert "██   1.00" in text
    assert "     -1.00" in text


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "    "), (1.0, "████"), (2.0, "████"), (-1.0, "    "), (0.5, "██  ")]
)
def test_bar(share: float, shown: str) -> None:
    assert bar(share) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.500"), (0.05, "0.0500"), (14.16, "14.2"), (312.4, "312"), (1.234e-5, "1.23e-05")],
)
def test_number_text(value: float, shown: str) -> None:
    assert number_text(value) == shown


def test_clock_text() -> None:
    assert [clock_text(x) for x in (None, 0, 192, 3792)] == ["–", "0:00", "3:12", "1:03:12"]


DIRECTIONS = {"a": {"mae": False}, "b": {"r2": True}}


def show_epochs(lines, **start):
    clock = Clock()
    console, stream = plain(clock)
    score = DeltaM({"a": {"mae": 0.001}, "b": {"r2": 0.9}}, DIRECTIONS)
    begun = {"epochs": 9, "steps_per_epoch": 2, "tasks": ["a", "b"], "note": "note"} | start
    console.start("ls", score=score, **begun)
    for line in lines:
        run_epoch(console, clock, 2)
        console.epoch({"train_loss": {"a": 1.0}, **line})
    return stream.getvalue().splitlines()


def line_of(epoch, mae, r2, delta, split="validation"):
    metrics = {"a": {"mae": mae}, "b": {"r2": r2}}
    return {"epoch": epoch, split: metrics, f"delta_m_{split}": delta}


def test_epochs_are_compared_with_the_first_one() -> None:
    """(-50 % of the error - 50 % of the score) / 2, whatever the single-task values."""
    lines = [line_of(1, 2.0, 0.2, 8834.0), line_of(2, 1.0, 0.1, 4000.0), line_of(3, 1.0, 0.4, 5e3)]
    start, *shown = show_epochs(lines)
    assert start.endswith("; note; here epochs are compared with epoch 1")
    assert [line.split("  ")[2] for line in shown] == [
        "validation Δm +0.0 % from epoch 1 (best)",
        "validation Δm +0.0 % from epoch 1 (best)",
        "validation Δm -75.0 % from epoch 1 (best +0.0 % at 2)",
    ]


def test_a_resumed_run_is_compared_with_its_first_epoch() -> None:
    history = [line_of(1, 2.0, 0.2, 9.0), line_of(2, 1.0, 0.2, 8.0)]
    _, shown = show_epochs([line_of(3, 1.5, 0.2, 8.5)], history=history, first_epoch=3)
    assert shown.split("  ")[2] == "validation Δm -12.5 % from epoch 1 (best -25.0 % at 2)"


def test_what_began_at_zero_is_left_out_of_the_comparison() -> None:
    lines = [line_of(1, 2.0, 0.0, 9.0, "test"), line_of(2, 1.0, 0.5, 8.0, "test")]
    assert show_epochs(lines)[-1].split("  ")[2] == "test Δm -50.0 % from epoch 1"


@pytest.mark.parametrize("make", [plain, live])
@pytest.mark.parametrize(
    ("epochs", "told"),
    [
        (300, "this run takes about 10.0 hours more at this speed"),  # 300 epochs of 120 s
        (3000, "this run takes about 4.2 days more at this speed"),
        (30, None),  # an hour to the second
    ],
)
def test_the_time_of_a_long_run_is_told_after_its_first_steps(epochs, told, make) -> None:
    clock = Clock()
    console, stream = make(clock)
    with console:
        console.start("ls", epochs=epochs, steps_per_epoch=120, tasks=["a"])
        run_epoch(console, clock, 9, seconds=1.0)
        assert "this run takes" not in stream.getvalue()
        run_epoch(console, clock, 30, seconds=1.0)
    assert stream.getvalue().count("this run takes") == (told is not None)
    assert told is None or told in stream.getvalue()
