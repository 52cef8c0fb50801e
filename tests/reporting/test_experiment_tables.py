from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import find_config_folder
from mtl_bench.errors import ConfigError
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.experiment_tables import render_experiment
from mtl_bench.reporting.experiments import RAW, find_experiments, read_published
from tests.nightly import gate
from tests.records.synthetic import qm9_tasks, scaled, write_record
from tests.reporting.test_tables import rows_of

TABLE = """\
## table9: mini / qm9, beside the paper's numbers for Cityscapes with PSPNet

| | Δm [%] ↓ | 95 % | Δt [%] ↓ | n | cost | cost, CPU | cost, n | paper Δm | paper cost |
| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
| STL | 0.00 ± 0.00 | [+0.0, +0.0] | 0.00 ± 0.00 | 2 | x0.50 | x0.25 | 2 | 0.00 | x0.83 |
| equal | missing | – | – | 0 | – | – | – | – | – |
| r_L | interrupted 3/30 | – | – | 0 | – | – | – | -0.33 | x1.00 |
| r_L + r_G | +15.00 ± 7.07 | [+10.0, +20.0] | +15.00 ± 7.07 |2|x1.00|x1.00|2|-0.65|x1.00|
| r_L + r_G^IMTL | missing | – | – | 0 | – | – | – | -0.66 | x1.00 |
| ALT, r_L | missing | – | – | 0 | – | – | – | -0.41 | x1.86 |
| ALT, r_L + r_G | +30.00 | – | +30.00 | 1 | x1.75 | x1.75 | 1 | -0.58 | x1.86 |
| ALT, r_L + r_G^IMTL | missing | – | – | 0 | – | – | – | -0.74 | x1.86 |
"""


def cells(text: str) -> list[list[str]]:
    """Cells of every row of a table."""
    lines = [line for line in text.splitlines() if line.startswith("|") and ":--" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def record(results: Path, label: str, seed: int, factor: float, epoch: float, **changes: object):
    seconds = {"train_epoch": epoch}
    own = {"values": scaled(factor), "tasks": qm9_tasks(), "seconds": seconds, "steps": 300}
    write_record(results, label, seed, **own | changes)


def swept_labels(name: str) -> list[str]:
    """Labels of the records that an experiment's sweep makes."""
    path = find_config_folder() / "experiment" / f"{name}.yaml"
    text = yaml.safe_load(path.read_text())
    params = {k: v for k, v in text["hydra"]["sweeper"]["params"].items() if k != "seed"}
    own = [f"variant={text['variant']}"] if "variant" in text else []
    labels = []
    for values in product(*(value.split(",") for value in params.values())):
        words = [f"{key}={value}" for key, value in zip(params, values, strict=True)]
        config = compose_any(*words, *own, "profile=smoke")
        variant = f"-{config['variant']}" if config["variant"] else ""
        labels.append(config["method"]["name"] + variant)
    return labels


@cache
def compose_any(*words: str) -> dict[str, Any]:
    """Compose a run on the first data set or suite that it is for; sweeps share many."""
    for dataset in ("qm9", "pendulum6", "nyuv2", "cifar100"):
        with suppress(ConfigError):
            return compose_config([f"dataset={dataset}", *words])
    return compose_config(["dataset=metaworld", *words])


FEW = ("table2_qm9", "table9", "paco_table1", "pcgrad_table1")
"""What the gate composes whole sweeps of; the others are nightly."""


@pytest.mark.parametrize(
    "name", gate(len(FEW), sorted(find_experiments(), key=lambda name: name not in FEW))
)
def test_the_rows_are_what_the_sweep_makes(name: str) -> None:
    experiment = find_experiments()[name]
    expected = {line.label for line in experiment.lines} - {RAW}
    labels = {label for sweep in experiment.sweeps for label in swept_labels(sweep)}
    assert labels == expected if experiment.sweeps == (name,) else labels >= expected
    assert experiment.reference in expected


@pytest.mark.parametrize("name", find_experiments())
def test_every_row_of_the_published_table_is_shown_once(name: str) -> None:
    experiment = find_experiments()[name]
    if experiment.published is None:
        return
    table = read_published(experiment.published)
    shown = [line.printed for line in experiment.lines if line.printed in table]
    assert sorted(shown) == sorted(table)
    heads = next(iter(table.values())).keys()
    assert {key.replace("{dataset}", "qm9") for _, key in experiment.columns} <= heads


def test_a_table_in_full(tmp_path: Path) -> None:
    for seed, factor in ((0, 1.1), (1, 1.2)):
        halved = {"train_epoch": 2.0, "train_epoch_cpu": 1.0}
        record(tmp_path, "stl", seed, 1.0, 2.0, seconds=halved)
        record(tmp_path, "taskforce", seed, factor, 4.0)
    record(tmp_path, "taskforce-alt", 0, 1.3, 7.0)
    record(tmp_path, "taskforce-imtl", 0, 9.0, 7.0, profile="smoke")
    write_record(tmp_path, "taskforce-de", 0, done=False, epochs_done=3)
    text = render_experiment("table9", find_records(tmp_path, profile="mini"), width=140)
    assert cells(text) == cells(TABLE)
    assert text.startswith(TABLE.splitlines()[0])
    below = " ".join(text.split())
    assert "relative to the row r_L + r_G with the same seed on the same device" in below
    assert "ALT, r_L + r_G: only seed 0." in below
    assert "Profile mini, real data (qm9pack 1.0.3)" in below


def test_the_raw_row_is_computed_from_the_network_of_the_runs(tmp_path: Path) -> None:
    record(tmp_path, "taskforce-gram", 0, 1.1, 4.0)
    text = render_experiment("table3", find_records(tmp_path))
    (raw,) = rows_of(text, "raw gradients")
    assert raw[1:4] == ["–", "–", "–"]
    assert raw[4].endswith("k*")
    assert raw[-1] == "x2.59M"
    assert "11 gradients of 617k shared parameters" in " ".join(text.split())
    (gram,) = rows_of(text, "gram, one agent")
    assert gram[1] == "–"  # no STL
    assert gram[4] == "–"  # nothing to compare its cost with
    assert "No cost: needs a run of + r_G with the same seed" in text
    assert "method=stl" in text


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"seconds": {}}, {"steps": 0}])
def test_times_that_cannot_be_compared_are_a_dash(tmp_path: Path, change: dict) -> None:
    record(tmp_path, "taskforce", 0, 1.0, 4.0)
    record(tmp_path, "taskforce-imtl", 0, 1.0, 4.0, **change)
    text = render_experiment("table7", find_records(tmp_path))
    (imtl,) = rows_of(text, "r_L + r_G^IMTL")
    assert imtl[4] == "–"


def test_table_7_shows_the_published_numbers_of_the_data_set(tmp_path: Path) -> None:
    record(tmp_path, "taskforce", 0, 1.0, 4.0)
    record(tmp_path, "taskforce", 0, 1.0, 4.0, dataset="cityscapes")
    qm9, city = (
        rows_of(render_experiment("table7", find_records(tmp_path, dataset=name)), "r_L + r_G ")
        for name in ("qm9", "cityscapes")
    )
    assert qm9[0][-2:] == ["59.0", "0.8"]
    assert city[0][-2:] == ["-0.65", "0.01"]


def test_two_configurations_of_one_seed_stay_apart(tmp_path: Path) -> None:
    for digest, epoch in (("aaaaaaaa", 4.0), ("bbbbbbbb", 5.0)):
        record(tmp_path, "taskforce", 0, 1.0, epoch, hash8=digest)
    record(tmp_path, "taskforce-de", 0, 1.0, 4.0)
    text = render_experiment("table7", find_records(tmp_path))
    names = [row[0] for row in rows_of(text, "r_L + r_G ")]
    assert names == ["r_L + r_G aaaaaaaa", "r_L + r_G bbbbbbbb"]
    assert "one of several configurations of taskforce" in text
    assert "cost" not in [head for row in cells(text) for head in row if head != "paper cost"]
    assert "- No cost: needs a run of r_L + r_G with" in text


def test_a_seed_without_results_is_told_beside_the_others(tmp_path: Path) -> None:
    """A mean over the seeds that survived would look like the method's."""
    for seed in (0, 1):
        record(tmp_path, "taskforce", seed, 1.0, 4.0)
    record(tmp_path, "taskforce-de", 0, 1.0, 4.0)
    write_record(tmp_path, "taskforce-de", 1, done=False, error="loss not finite", epochs_done=3)
    elsewhere = {"protocol": {"name": "aligned"}}
    write_record(tmp_path, "taskforce-de", 2, done=False, epochs_done=3, settings=elsewhere)
    below = " ".join(render_experiment("table7", find_records(tmp_path)).split())
    assert "- r_L: only seed 0. - r_L: seed 1 failed 3/30." in below
    assert "seed 2" not in below


def test_costs_compare_runs_of_the_same_seed(tmp_path: Path) -> None:
    """The machine was twice as busy when seeds 1 and 2 of one of the rows were trained."""
    for seed, slower in ((0, 1.0), (1, 2.0), (2, 2.0)):
        record(tmp_path, "taskforce", seed, 1.0, 4.0 * slower)
    for seed, slower in ((0, 1.0), (1, 2.0)):
        record(tmp_path, "taskforce-de", seed, 1.0, 2.0 * slower)
    record(tmp_path, "taskforce-imtl", 3, 1.0, 4.0)
    text = render_experiment("table7", find_records(tmp_path), width=140)
    table = {row[0]: row for row in cells(text)}
    cost = table[""].index("cost")
    assert [table[name][cost] for name in ("r_L", "r_L + r_G", "r_L + r_G^IMTL")] == [
        "x0.50",
        "x1.00",
        "–",
    ]


@pytest.mark.parametrize("name", ["table3", "figure2"])
def test_without_a_run_it_says_what_to_type(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, "stl", 0, 1.0, 4.0)
    assert render_experiment(name, find_records(tmp_path)) == ""
    assert main(["tables", name, f"paths.results={tmp_path}"]) == 0
    assert f"`mtl-bench train -m experiment={name}" in capsys.readouterr().out


def test_ranks_are_among_the_rows_of_the_table(tmp_path):
    for factor, label in ((1.0, "stl"), (1.3, "ls"), (1.1, "taskforce"), (1.2, "taskforce-alt")):
        write_record(tmp_path, label, 0, values=scaled(factor), tasks=qm9_tasks())
    text = render_experiment("table2_qm9", find_records(tmp_path), width=400)
    heads, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    ranks = {row[0]: row[heads.index("MR ↓")] for row in rows}
    assert (ranks["TaskForce"], ranks["LS"]) == ("1.00", "2.00")


def test_single_task_runs_that_are_no_row_are_not_what_rows_differ_from():
    """A mean of successes needs no baseline, so that plain STL stands in no table of variants."""
    records = find_records(Path(__file__).parents[2] / "results")
    text = render_experiment("pendulum6_dominant", records)
    assert "| STL " in text
    assert "architecture mlp," in " ".join(text.split())  # other systems are no rows either
    assert "differ in more than the method" not in text
