"""The papers' experiments with systems of multi-task SAC, from their sweeps to their tables."""

import importlib.util

import pytest

from mtl_bench.cli import main
from mtl_bench.reporting.experiments import find_experiments

pytestmark = pytest.mark.nightly

META_WORLD = pytest.mark.skipif(
    importlib.util.find_spec("metaworld") is None, reason="needs Meta-World"
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(
            pytest.param(name, ["dataset=pendulum6"], id=name)
            for name in (
                *("paco_table1", "paco_table2", "paco_table3"),
                *("pcgrad_figure3", "dgrad_figure4"),
            )
        ),
        pytest.param("pcgrad_figure4", ["seed=0"], id="pcgrad_figure4", marks=META_WORLD),
        pytest.param("pcgrad_goals", [], id="pcgrad_goals", marks=META_WORLD),
    ],
)
def test_every_row_of_the_table_is_trained_and_shown(name, words, tmp_path, capsys):
    results = f"paths.results={tmp_path}"
    sweep = ["train", "-m", f"experiment={name}", *words, "profile=smoke", "logger.progress=off"]
    assert main([*sweep, results]) == 0
    capsys.readouterr()
    assert main(["tables", name, "profile=smoke", results]) == 0
    text = capsys.readouterr().out
    experiment = find_experiments()[name]
    assert all(line.title in text for line in experiment.lines)
    assert "missing" not in text
    assert "paper" in text or not experiment.published
    if experiment.published:
        assert "more than methods do" in " ".join(text.split())
