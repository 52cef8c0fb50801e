from __future__ import annotations

import csv
import re
from pathlib import Path
from statistics import stdev

import pytest
from rich.cells import cell_len

from mtl_bench.records.reader import find_records
from mtl_bench.reporting.layout import fitting_chunks, markdown_table
from mtl_bench.reporting.tables import render_tables
from tests.records.synthetic import SCENE_TASKS, qm9_tasks, scaled, write_record

SMALL_TABLE = {
    "method": ["stl", "ls", "mgda¹", "taskforce"],
    "Seg miou [%] ↑": ["40.00 ± 1.41", "36.00 ± 1.41", "40.00", "44.00 ± 1.41"],
    "Depth abs ↓": ["0.500 ± 0.000", "0.550 ± 0.000", "0.500", "0.450 ± 0.000"],
    "Δm [%] ↓": ["0.00 ± 1.77", "+10.00 ± 1.77", "-1.28", "-10.00 ± 1.77"],
    "95 %": ["[-2.6, +2.4]", "[+7.6, +12.3]", "–", "[-12.7, -7.4]"],
    "Δt [%] ↓": ["0.00 ± 1.77", "+10.00 ± 1.77", "-1.28", "-10.00 ± 1.77"],
    "MR ↓": ["–", "3.00", "2.00", "1.00"],
    "P(> LS) ↑": ["–", "–", "1.00", "1.00"],
    "n": ["2", "2", "1", "2"],
    "epoch cost": ["x1.00", "x1.00", "x1.00", "x1.50"],
    "epoch cost, CPU": ["x1.00", "x1.00", "x1.00", "x1.40"],
    "epoch cost, n": ["2", "2", "1", "2"],
    "parameters": ["617,675"] * 4,
    "paper Δm": ["0.0", "177.6", "120.5", "59.0"],
}
SMALL_NOTES = """
Profile mini, real data (qm9pack 1.0.3), protocol nash, architecture mpnn, 30 epochs,
selection best_val, seeds 0, 1; mean ± sample standard deviation over n seeds. Δm and Δt are against
our own STL runs above, of the same seeds. Bold: the best multi-task method, where 95 % bootstrap
intervals over three or more seeds do not overlap; italic: likewise the second. MR: mean over
metrics of the rank of the means over seeds, among the methods of this table. P(> LS):
probability that a run beats one of LS, averaged over metrics. Epoch cost: training time of an epoch
relative to LS with the same seed on the same device under the same load; CPU: likewise of the
process's CPU time; medians over the number of seeds behind them.
An interval of fewer than 10 seeds is too narrow: bootstrap intervals of 2, 3 and 5 seeds hold the
true mean in about 50, 75 and 84 % of cases instead of 95 %.
- ¹ only seed 0.
"""

METHODS = ("stl", "ls", "rlw", "dwa", "uw", "mgda", "pcgrad", "cagrad", "taskforce")


def scene(results: Path, label: str, seed: int, miou: float, error: float, **changes: object):
    values = {"semantic": {"miou": miou}, "depth": {"abs": error}}
    return write_record(results, label, seed, values=values, tasks=SCENE_TASKS, **changes)


def rows_of(text: str, label: str) -> list[list[str]]:
    """Cells of the rows whose first cell starts with ``label``, outer bars removed."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {label}")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def cell(text: str, label: str, head: str) -> str:
    """The cell of a row under a header."""
    heads = [h.strip() for h in rows_of(text, "method")[0]]
    return rows_of(text, label)[0][heads.index(head)]


def test_a_small_table_in_full(tmp_path: Path) -> None:
    for seed, miou in ((0, 39.0), (1, 41.0)):
        scene(tmp_path, "stl", seed, miou, 0.5)
        seconds = {"train_epoch": 4.5, "train_epoch_cpu": 4.2}
        scene(tmp_path, "taskforce", seed, miou + 4, 0.45, seconds=seconds)
        scene(tmp_path, "ls", seed, miou - 4, 0.55)
    scene(tmp_path, "mgda", 0, 40.0, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    heads = [head.strip() for head in rows_of(text, "method")[0]]
    rows = [rows_of(text, name)[0] for name in SMALL_TABLE["method"]]
    assert dict(zip(heads, map(list, zip(*rows, strict=True)), strict=True)) == SMALL_TABLE
    below = text[text.index("Profile mini") :]
    assert " ".join(below.split()) == " ".join(SMALL_NOTES.split())


TWO_IMAGES = {"overrides": {"dataset.train_size": 2}}
OF_BEFORE = {"device": "cpu"}


@pytest.mark.parametrize(
    ("environments", "told", "notes"),
    [
        ([TWO_IMAGES, TWO_IMAGES], " with dataset.train_size=2", []),
        ([OF_BEFORE, TWO_IMAGES], " with dataset.train_size=2", []),
        ([TWO_IMAGES, {"overrides": {}}], "", []),
        ([{"overrides": {"dataset.train_size": 3}}, TWO_IMAGES], "", []),
        ([None, {"overrides": "no mapping"}], "", []),
        (
            [{"overrides": {"method.c": 1}}, {"overrides": {"method.c": 0.9}}],
            "",
            ["with method.c=1", "with method.c=0.9"],
        ),
        ([{"overrides": {"method.c": 1}}] * 2, " with method.c=1", []),
    ],
)
def test_the_heading_tells_what_the_rows_have_in_place_of_the_profile(
    tmp_path: Path, environments: list, told: str, notes: list[str]
) -> None:
    for label, environment in zip(("ls", "cagrad"), environments, strict=True):
        settings = {"dataset": {"train_size": 2}}
        scene(tmp_path, label, 0, 40.0, 0.5, environment=environment, settings=settings)
    text = render_tables(find_records(tmp_path), width=240)
    assert text.startswith(f"## mini / qm9{told}\n")
    assert f"\nProfile mini{told}, real data (qm9pack 1.0.3), protocol nash" in text
    for form in ("csv", "latex"):
        assert "train" in render_tables(find_records(tmp_path), form=form) or "train" not in told
    assert [line[4:-1] for line in text.splitlines() if re.match("- . with", line)] == notes


def test_a_variant_is_a_name_for_its_own_settings(tmp_path: Path) -> None:
    changed = {"overrides": {"method.c": 1}}
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    scene(tmp_path, "cagrad-c1", 0, 40.0, 0.5, environment=changed)
    assert "- ¹ with method.c=1" not in render_tables(find_records(tmp_path), width=240)


def test_delta_uses_stl_of_the_methods_own_seeds(tmp_path: Path) -> None:
    """STL improves with the seed; a method of seed 1 alone must not see STL of seed 0."""
    scene(tmp_path, "stl", 0, 20.0, 1.0)
    scene(tmp_path, "stl", 1, 40.0, 0.5)
    scene(tmp_path, "mgda", 1, 40.0, 0.5)
    scene(tmp_path, "uw", 1, 44.0, 0.5)
    scene(tmp_path, "uw", 2, 11.0, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    assert rows_of(text, "mgda")[0][3] == "0.00"
    uw = rows_of(text, "uw")[0]
    assert uw[1] == f"27.50 ± {stdev([44, 11]):.2f}"
    assert uw[3] == "-5.00"
    assert (cell(text, "uw", "n"), cell(text, "uw", "Δm, n")) == ("2", "1")
    assert "Δm and Δt over the seeds that STL has too: 1." in text


def test_seeds_that_ended_early_at_different_epochs_stand_in_one_row(tmp_path: Path) -> None:
    for seed, epochs in ((0, 12), (1, 17), (2, 30)):
        planned = {"planned_epochs": 30} if epochs < 30 else {}
        scene(tmp_path, "ls", seed, 40.0 + seed, 0.5, epochs=epochs, **planned)
    text = render_tables(find_records(tmp_path), width=240)
    assert cell(text, "ls", "n") == "3"


def test_per_seed_delta_against_the_fixed_mean(tmp_path: Path) -> None:
    for seed, stl, own in ((0, 1.0, 1.1), (1, 3.0, 2.9)):
        scene(tmp_path, "stl", seed, 40.0, stl)
        scene(tmp_path, "ls", seed, 40.0, own)
    (ls,) = rows_of(render_tables(find_records(tmp_path), width=240), "ls")
    per_seed = [100 * (own - 2.0) / 2.0 / 2 for own in (1.1, 2.9)]
    assert ls[3] == f"0.00 ± {stdev(per_seed):.2f}"


def test_without_stl_there_is_no_delta_but_a_hint(tmp_path: Path) -> None:
    scene(tmp_path, "stl", 5, 40.0, 0.5)
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    (ls,) = rows_of(text, "ls")
    assert ls[3:5] == ["–", "–"]
    command = "mtl-bench train method=stl seed=0 dataset=qm9 profile=mini paths.results="
    assert f"without STL runs of the same seeds: `{command}{tmp_path}`" in text
    narrow = render_tables(find_records(tmp_path), width=40)  # a command can't be pasted in pieces
    assert f"`{command}{tmp_path}`" in narrow


def test_a_missing_metric_is_a_dash_and_takes_delta_along(tmp_path: Path) -> None:
    scene(tmp_path, "stl", 0, 40.0, 0.5)
    values = {"semantic": {"miou": 41.0}, "depth": {"abs": None}}
    write_record(tmp_path, "ls", 0, values=values, tasks=SCENE_TASKS)
    text = render_tables(find_records(tmp_path), width=240)
    assert rows_of(text, "ls")[0][1:5] == ["41.00", "–", "–", "–"]
    assert "no Δm: no value here of depth abs." in text


def likelihoods(results: Path, label: str, seed: int, value: float, **changes: object) -> None:
    fields = {"unit": "", "higher_is_better": True, "decimals": 2, "reference": None}
    tasks = {name: {"label": name, "metrics": {"ll": fields}} for name in ("a", "b")}
    values = {"a": {"ll": value}, "b": {"ll": value}}
    write_record(results, label, seed, **{"values": values, "tasks": tasks} | changes)


def test_a_log_likelihood_that_rises_is_an_improvement(tmp_path: Path) -> None:
    for seed in (0, 1):
        likelihoods(tmp_path, "stl", seed, -2.0 - 0.1 * seed)
        likelihoods(tmp_path, "ls", seed, -1.0 - 0.1 * seed)
    text = render_tables(find_records(tmp_path), width=240)
    expected = [100 * (-2.05 + 1 + 0.1 * seed) / 2.05 for seed in (0, 1)]
    mean = sum(expected) / 2
    assert cell(text, "ls", "Δm [%] ↓") == f"{mean:+.2f} ± {stdev(expected):.2f}"
    low, high = map(float, cell(text, "ls", "95 %").strip("[]").split(", "))
    assert low < mean < high < 0


def test_nothing_is_relative_to_single_task_learning_of_zero(tmp_path: Path) -> None:
    scene(tmp_path, "stl", 0, 0.0, 0.5)
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    assert rows_of(text, "ls")[0][1:5] == ["40.00", "0.500", "–", "–"]
    assert "no Δm: STL has no usable value of semantic miou (0)." in text


@pytest.mark.parametrize(("published", "shown"), [(None, "none"), (0.0, "0")])
def test_delta_against_published_values_leaves_out_what_has_none(
    published: float | None, shown: str, tmp_path: Path
) -> None:
    tasks = qm9_tasks("mu", "homo")
    tasks["homo"]["metrics"]["mae"]["reference"] = published
    for label, values in (("ls", scaled(1.5)), ("mgda", scaled(0.5))):
        write_record(tmp_path, label, 0, values=values, tasks=tasks)
    text = render_tables(find_records(tmp_path), baseline="published", width=240)
    assert cell(text, "ls", "Δm [%] ↓") == "+50.00"
    assert cell(text, "mgda", "Δt [%] ↓") == "-50.00"
    (note,) = [line for line in text.splitlines() if line.startswith("- ¹")]
    assert note.endswith(f"without a usable published single-task value: homo mae ({shown}).")


def test_without_published_values_there_is_no_delta_against_them(tmp_path: Path) -> None:
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    text = render_tables(find_records(tmp_path), baseline="published", width=240)
    assert cell(text, "ls", "Δm [%] ↓") == "–"
    assert "no Δm: no metric has a usable published single-task value." in text


def test_a_task_that_was_never_labelled_is_marked(tmp_path: Path) -> None:
    scene(tmp_path, "stl", 0, 40.0, 0.5)
    scene(tmp_path, "ls", 0, 40.0, 0.5, untrained=["depth"])
    note = (
        "no training label of Depth in the whole run: the numbers there are those of an untrained "
        "head"
    )
    text = render_tables(find_records(tmp_path), width=240)
    assert rows_of(text, "ls")[0][0] == "ls¹"
    assert rows_of(text, "stl")[0][0] == "stl"
    assert f"- ¹ {note}." in text
    (row,) = [
        row
        for row in csv.DictReader(render_tables(find_records(tmp_path), form="csv").splitlines())
        if row["method"] == "ls"
    ]
    assert row["notes"] == note


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "aligned"},
        {"architecture": "mtan"},
        {"epochs": 7},
        {"profile": "smoke"},
        {"dataset": "nyuv2"},
        {"data": {"kind": "procedural", "source": "generator", "manifest": "0123"}},
    ],
)
def test_runs_of_different_settings_are_never_compared(tmp_path: Path, change: dict) -> None:
    scene(tmp_path, "stl", 0, 40.0, 0.5)
    scene(tmp_path, "ls", 0, 44.0, 0.5, **change)
    text = render_tables(find_records(tmp_path), width=240)
    assert text.count("| method") == 2
    (ls,) = rows_of(text, "ls")
    assert ls[3] == "–"


def test_procedural_data_is_said_loudly(tmp_path: Path) -> None:
    data = {"kind": "procedural", "source": "generator 1", "manifest": "0123"}
    scene(tmp_path, "stl", 0, 40.0, 0.5, data=data)
    assert "PROCEDURAL data (generator 1)" in render_tables(find_records(tmp_path))


def test_other_data_files_are_told(tmp_path: Path) -> None:
    scene(tmp_path, "stl", 0, 40.0, 0.5)
    data = {"kind": "real", "source": "qm9pack 1.0.3", "manifest": "4567"}
    scene(tmp_path, "ls", 0, 40.0, 0.5, data=data)
    assert "different data files: 0123, 4567" in render_tables(find_records(tmp_path))


def test_times_of_another_device_are_not_compared(tmp_path: Path) -> None:
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    scene(tmp_path, "mgda", 0, 40.0, 0.5, device="cuda", seconds={"train_epoch": 0.1})
    scene(tmp_path, "uw", 0, 40.0, 0.5, seconds={"train_epoch": 6.0})
    text = render_tables(find_records(tmp_path), width=240)
    costs = [cell(text, method, "epoch cost") for method in ("ls", "mgda", "uw")]
    assert costs == ["x1.00", "–", "x2.00"]
    assert "- No cost of mgda: needs a run of LS with the same seed on the same device." in text


def test_times_of_processors_and_systems_that_are_not_the_same_are_not_compared(
    tmp_path: Path,
) -> None:
    here = {"device": "AMD EPYC, family 25, 1 threads", "platform": "Linux-6.18"}
    others = {
        "mgda": {"device": "AMD EPYC, family 26, 1 threads"},
        "uw": {"platform": "Linux-6.19"},
        "dwa": {},
        "rlw": {"resumed": [{"platform": "Linux-6.19"}]},
    }
    scene(tmp_path, "ls", 0, 40.0, 0.5, environment=here)
    for label, changes in others.items():
        scene(tmp_path, label, 0, 40.0, 0.5, environment=here | changes)
    text = render_tables(find_records(tmp_path), width=240)
    costs = [cell(text, method, "epoch cost") for method in others]
    assert costs == ["–", "–", "x1.00", "–"]


def timed(seconds: float, cpu: float | None, waiting: float | None) -> dict[str, float | None]:
    return {"train_epoch": seconds, "train_epoch_cpu": cpu, "train_epoch_waiting": waiting}


@pytest.mark.parametrize(
    ("ls", "uw", "expected"),
    [
        (timed(10, 10, 0), timed(9, 9.5, 0), ("x0.90", "x0.95", "1")),
        # the work of both is the same; half of the time of LS went to another process
        (timed(20, 10, 10), timed(10, 10, 0), "timed under another load than LS"),
        (timed(10, 10, 0), timed(20, 10, 10), "timed under another load than LS"),
        # both had to wait alike
        (timed(20, 10, 10), timed(40, 20, 20), ("x2.00", "x2.00", "1")),
        (timed(20, 10, 10), timed(19, 10, 9), ("x0.95", "x1.00", "1")),
        # several threads: as much CPU time as one likes is no sign of load
        (timed(10, 40, 0.1), timed(15, 45, 0.1), ("x1.50", "x1.12", "1")),
        # of an earlier version, or of a system that doesn't tell
        (timed(10, None, None), timed(6.8, None, None), "the records tell no CPU time"),
        (timed(10, 10, 0), timed(6.8, None, None), "the records tell no CPU time"),
        (timed(10, 10, None), timed(6.8, 6.8, None), "the records tell no CPU time"),
        (timed(10, 10, 0), timed(10, 10, 11), "the records tell no CPU time"),
    ],
)
def test_costs_are_told_of_runs_under_the_same_load_alone(
    tmp_path: Path, ls: dict, uw: dict, expected: tuple[str, ...] | str
) -> None:
    scene(tmp_path, "ls", 0, 40.0, 0.5, seconds=ls)
    scene(tmp_path, "uw", 0, 40.0, 0.5, seconds=uw)
    text = render_tables(find_records(tmp_path), width=240)
    heads = rows_of(text, "method")[0]
    shown = dict(zip(heads, rows_of(text, "uw")[0], strict=True))
    told = tuple(shown.get(f"epoch cost{end}", "–") for end in ("", ", CPU", ", n"))
    assert told == (("–",) * 3 if isinstance(expected, str) else expected)
    if isinstance(expected, str):
        assert re.search(rf"- No cost( of uw)?: {expected}", text)


def test_a_cost_is_over_the_seeds_of_the_same_load(tmp_path: Path) -> None:
    for seed in range(4):
        scene(tmp_path, "ls", seed, 40.0, 0.5, seconds=timed(10, 10, 0))
        own = timed(60, 20, 30) if seed == 3 else timed(20 + seed, 18, 0)
        scene(tmp_path, "uw", seed, 40.0, 0.5, seconds=own)
    text = render_tables(find_records(tmp_path), width=240)
    assert [cell(text, "uw", f"epoch cost{end}") for end in ("", ", CPU", ", n")] == [
        *("x2.10", "x1.80", "3")
    ]
    assert cell(text, "uw", "n") == "4"


def ranks_of(text: str) -> dict[str, str]:
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return {
        row.split("|")[1].strip(): cell(text, row.split("|")[1].strip(), "MR ↓") for row in rows
    }


def test_ranks_are_over_methods_and_ablations_have_a_table_of_their_own(tmp_path: Path) -> None:
    """Twenty variants that all beat MGDA must not put it on place 23."""
    for label, miou in (("stl", 50.0), ("ls", 40.0), ("mgda", 30.0), ("taskforce", 45.0)):
        scene(tmp_path, label, 0, miou, 0.5)
    for number in range(20):
        scene(tmp_path, f"taskforce-v{number}", 0, 35.0 + number / 10, 0.4)
    methods, ablations = render_tables(find_records(tmp_path), width=240).split("\n\n## ")
    assert methods.startswith("## mini / qm9\n")
    assert ranks_of(methods) == {"stl": "–", "ls": "2.00", "mgda": "2.50", "taskforce": "1.50"}
    assert ablations.startswith("mini / qm9: ablations\n")
    names = [line.split("|")[1].strip() for line in ablations.splitlines() if line.startswith("| ")]
    variants = {f"taskforce-v{number}" for number in range(20)}
    assert set(names[2:]) == {"stl", "taskforce", *variants}
    assert "MR" not in ablations


def test_ablations_beside_all_the_methods_that_there_are_need_no_other_table(
    tmp_path: Path,
) -> None:
    for label in ("stl", "taskforce", "taskforce-alt"):
        scene(tmp_path, label, 0, 40.0, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## mini / qm9: ablations"
    ]


def test_selection_rule_is_the_records_own_unless_named(tmp_path: Path) -> None:
    last = {"semantic": {"miou": 33.0}, "depth": {"abs": 0.7}}
    best = {"semantic": {"miou": 35.0}, "depth": {"abs": 0.6}}
    scene(tmp_path, "ls", 0, 0.0, 0.0, metrics={"best_val": best, "last": last})
    scene(tmp_path, "mgda", 0, 36.0, 0.5)
    records = find_records(tmp_path)
    own = render_tables(records, width=240)
    assert [rows_of(own, m)[0][1] for m in ("ls", "mgda")] == ["35.00", "36.00"]
    named = render_tables(records, selection="last", width=240)
    assert rows_of(named, "ls")[0][1] == "33.00"
    assert rows_of(named, "mgda") == []
    assert "selection last" in named
    assert "1 without metrics under the selection last; there are: best_val, last" in named


def test_unfinished_runs_are_counted(tmp_path: Path) -> None:
    scene(tmp_path, "ls", 0, 40.0, 0.5)
    write_record(tmp_path, "mgda", 0, done=False)
    write_record(tmp_path, "uw", 0, done=False, error="disk full")
    text = render_tables(find_records(tmp_path))
    status = f"`mtl-bench status profile=mini dataset=qm9 paths.results={tmp_path}`"
    assert f"Not shown: 1 failed, 1 interrupted (see {status})." in " ".join(text.split())


def test_eleven_targets_of_two_methods_are_turned_round(tmp_path: Path) -> None:
    write_record(tmp_path, "stl", 0, values=scaled(1.0), tasks=qm9_tasks())
    write_record(tmp_path, "ls", 0, values=scaled(2.776), tasks=qm9_tasks())
    text = render_tables(find_records(tmp_path), width=80)
    assert rows_of(text, "ε_HOMO") == [["ε_HOMO [meV] ↓", "60.6", "168.2"]]
    assert rows_of(text, "Δm") == [["Δm [%] ↓", "0.00", "+177.60"]]
    assert "metric mae" in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_eleven_targets_of_many_methods_fit_the_width(tmp_path: Path, width: int) -> None:
    for index, method in enumerate(METHODS):
        for seed in range(2):
            values = scaled(1 + index / 2 + seed / 100)
            write_record(tmp_path, method, seed, values=values, tasks=qm9_tasks())
    text = render_tables(find_records(tmp_path), width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({cell_len(line) for line in table}) == 1 for table in tables)
    heads = [head.strip() for table in tables for head in table[0].strip("| ").split(" | ")]
    assert sum("↓" in head for head in heads) == 14
    names = [line.split(" | ")[0].strip("| ") for line in tables[0][2:]]
    assert names == ["stl", "ls", *sorted(METHODS[2:-1]), "taskforce"]


def test_bars_in_names_do_not_break_the_table() -> None:
    lines = markdown_table([("method", ["a"]), ("|x| ↓", ["1"])])
    assert lines == ["| method | \\|x\\| ↓ |", "| :----- | ------: |", "| a      |       1 |"]


def test_chunks_cover_every_column_once() -> None:
    chunks = list(fitting_chunks([5, 5, 20, 3, 3], 10))
    assert chunks == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert list(fitting_chunks([], 10)) == []


@pytest.mark.parametrize(("count", "kind", "told"), [(9, "real", True), (5, "real", False)])
def test_the_order_is_compared_with_the_published_one(tmp_path, count, kind, told) -> None:
    printed = {"ls": 177.6, "rlw": 203.8, "dwa": 175.3, "uw": 108.0, "mgda": 120.5}
    for label in METHODS[:count]:
        change = 1.0 if label == "stl" else printed.get(label, 50.0) / 1000
        scene(tmp_path, label, 0, 40.0 / (1 + change), 0.5 * (1 + change))
    text = " ".join(render_tables(find_records(tmp_path)).split())
    assert ("Spearman's rank correlation of Δm with the paper's, 8 methods" in text) == told


def test_two_seeds_call_nothing_the_best(tmp_path: Path) -> None:
    """Their intervals are their ranges, which are apart for every third pair of equal methods."""
    for seed in (0, 1):
        for label, miou in (("stl", 40.0), ("ls", 41.0), ("mgda", 60.0)):
            scene(tmp_path, label, seed, miou + seed, 0.5)
    assert "**" not in render_tables(find_records(tmp_path))
    for label, miou in (("stl", 40.0), ("ls", 41.0), ("mgda", 60.0)):
        scene(tmp_path, label, 2, miou, 0.5)
    assert "**60.33" in render_tables(find_records(tmp_path))


def test_seeds_without_a_delta_call_nothing_the_best(tmp_path: Path) -> None:
    for seed in range(3):
        for label, miou in (("stl", 40.0), ("ls", 41.0), ("mgda", 60.0)):
            if (label, seed) != ("stl", 2):
                scene(tmp_path, label, seed, miou + seed, 0.5)
    text = render_tables(find_records(tmp_path), width=240)
    assert cell(text, "mgda", "Seg miou [%] ↑").startswith("**")
    assert cell(text, "mgda", "Δm, n") == "2"
    assert not cell(text, "mgda", "Δm [%] ↓").startswith("**")


def test_other_networks_have_no_published_numbers(tmp_path: Path) -> None:
    scene(tmp_path, "mgda", 0, 40.0, 0.5, dataset="nyuv2", architecture="mtan")
    scene(tmp_path, "mgda", 0, 40.0, 0.5, dataset="nyuv2", architecture="segnet", hash8="aaaaaaaa")
    mtan, segnet = (
        render_tables(find_records(tmp_path), width=240).split("segnet")[0].split("## ")[1:]
    )
    assert "paper Δm" in mtan
    assert "paper Δm" not in segnet
