"""The committed records stay readable, and the commands that made them find and skip them."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.config.recorded import read_config
from mtl_bench.records.reader import find_record
from tests.golden.cells import ROOT

RECORDS = sorted(path.parent for path in (ROOT / "results").rglob("config.yaml"))

ABLATIONS = {path.stem for path in (ROOT / "configs" / "ablation").glob("*.yaml")}

GROUPS = ("dataset", "architecture", "protocol", "profile")

PRECISION = (
    *("dataset.train_size=6000", "dataset.val_size=600", "dataset.test_size=1200"),
    *("dataset.batch_size=120", "trainer.epochs=12"),
)
"""Of the runs below results/precision."""

SUFFIXES = {"_dominant": "paco_dominant", "_disturbed": "paco_explosion"}
"""What experiments add to the names of ablations that they change."""


def words_of(record: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Return the words of the command line that a record comes from, but its seed."""
    variant = config["variant"]
    words = [f"{group}={config[group]['name']}" for group in GROUPS]
    if variant in ABLATIONS:
        words += [f"ablation={variant}"]
    elif variant is not None and variant.startswith("every_"):
        words += ["ablation=every", f"method.update_every={variant.removeprefix('every_')}"]
    else:
        words += [f"method={config['method']['name']}"]
    if variant == "dominant":
        words += ["experiment=pendulum6_dominant"]
    if variant == "last":
        words += ["ablation=gradnorm_last"]
    if variant in ("v1", "v2"):
        ablation = {"ls": "ls_gram"}.get(config["method"]["name"], "pcgrad")
        words += [f"ablation={ablation}", "experiment=pcgrad_figure4"]
        words += [f"dataset.reward_version={variant}"]
    for suffix, experiment in SUFFIXES.items():
        if variant is not None and variant.endswith(suffix):
            ablation = variant.removesuffix(suffix)
            words += [f"ablation={ablation}", f"experiment={experiment}"]
    if variant == "bf16":
        words += ["variant=bf16", "trainer.precision=bf16"]
    if (ROOT / "results" / "precision") in record.parents:
        words += PRECISION
    if (ROOT / "results" / "patience") in record.parents:
        words += [f"scheduler.patience={config['scheduler']['patience']}"]
    return tuple(words)


@cache
def composed(words: tuple[str, ...]) -> dict[str, Any]:
    return compose_config(words)


def test_all_committed_records_are_there():
    assert len(RECORDS) >= 350


FIRST = {path.parent: path for path in reversed(RECORDS)}.values()
"""The first seed of every row, which the gate reads; the others are nightly."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            marks=[] if path in FIRST else [pytest.mark.nightly],
            id=str(path.relative_to(ROOT)),
        )
        for path in RECORDS
    ],
)
def test_a_record_is_read_and_the_command_that_made_it_finds_it(path):
    record = find_record(path)
    assert record.state in ("finished", "exploded"), record.error
    config = read_config(path)
    assert config_hash(config) == record.hash
    assert record.summary is None or record.summary["hash"] == record.hash
    assert config_hash(composed(words_of(path, config)) | {"seed": record.seed}) == record.hash


@pytest.mark.parametrize("dataset", ["qm9", "nyuv2", "cityscapes"])
def test_a_command_skips_a_committed_record(dataset, tmp_path, capsys):
    paths = (f"paths.results={ROOT / 'results'}", f"paths.data={tmp_path}")
    assert main(["train", f"dataset={dataset}", "method=taskforce", "profile=mini", *paths]) == 0
    assert capsys.readouterr().out.startswith("already finished: ")
