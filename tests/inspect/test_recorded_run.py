"""A run that is loaded, evaluated again and exported, from Python and from the command line."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import mtl_bench
from mtl_bench.cli import main
from mtl_bench.config.build import build_data
from mtl_bench.errors import ConfigError, RecordError
from mtl_bench.training.checkpoint import read_checkpoint
from tests.conftest import ROOT
from tests.nightly import gate
from tests.training.runs import METHODS, SIZES, SMALLEST

UNEVEN = ("optimizer.lr=0.3", "trainer.epochs=4")
SAC = (
    *("dataset=pendulum6", "dataset.tasks=[standard,reversed,heavy]", "dataset.horizon=6"),
    *("dataset.copies=2", "algorithm.batch_size=4", "algorithm.random_episodes=2"),
    *("algorithm.buffer_size=30", "algorithm.epoch_episodes=2", "architecture.hidden=[8]"),
)
COMMON = ("profile=smoke", "logger.progress=off", "trainer.device=cpu", "trainer.epochs=2")
WORDS = {
    "qm9": (*SIZES, *UNEVEN, *METHODS["ls"]),
    "pendulum6": (*SAC, "method=pcgrad", *COMMON),
    "qm9, separate": (*SIZES, *UNEVEN, *METHODS["stl"]),
    "nyuv2": ("dataset=nyuv2", "method=ls", *SMALLEST["nyuv2"], *COMMON),
    "cityscapes": ("dataset=cityscapes", "method=ls", *SMALLEST["cityscapes"], *COMMON),
}


@pytest.fixture(scope="module")
def made(small_data, tmp_path_factory):
    """Finished runs, each trained once from Python."""
    runs, results = {}, tmp_path_factory.mktemp("results")

    def get(name):
        if name not in runs:
            paths = (f"paths.data={small_data}", f"paths.results={results}")
            runs[name] = mtl_bench.train(*WORDS[name], *paths)
        return runs[name]

    return get


@pytest.mark.parametrize("name", gate(2, WORDS))
def test_the_recorded_metrics_come_out_of_the_kept_networks(name, made, capsys):
    run = made(name)
    summary = run.summary
    for rule in {"best_val", "last"} & summary["metrics"].keys():
        assert run.evaluate(rule=rule) == summary["metrics"][rule]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    run.evaluate()
    assert torch.equal(torch.get_rng_state(), before)
    assert main(["eval", str(run.path)]) == 0
    assert ", 0 differ by more than tolerance=0.0001" in capsys.readouterr().out


def test_another_network_than_that_of_the_numbers_is_noticed(made, tmp_path, capsys):
    run = made("qm9")
    path = tmp_path.joinpath(*run.path.absolute().parts[-4:])
    shutil.copytree(run.path, path)
    last = path / "checkpoint" / "last.pt"
    content = read_checkpoint(last)
    for value in content["state"]["network"].values():
        value.mul_(1.01)
    torch.save(content, last)
    assert main(["eval", str(path)]) == 1
    told = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in told.splitlines() if "e-" in line][-1] == "last"
    assert main(["eval", str(path), "tolerance=1e9"]) == 0
    assert main(["eval", str(path), "tolerance=0"]) == 2
    (path / "checkpoint" / "previous.pt").unlink()
    last.unlink()
    capsys.readouterr()
    assert main(["eval", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no checkpoint, and records alone hold no network" in line


@pytest.mark.parametrize("name", ["qm9", "qm9, separate"])
def test_predictions_are_in_the_unit_of_the_metrics(name, made):
    run = made(name)
    data = build_data(run.config)
    reported = run.summary["metrics"]["best_val"]
    raw = data.targets[data.splits["test"]].numpy()
    for number, (task, found) in enumerate(run.predict().items()):
        assert found.values.shape == found.targets.shape == (20,)
        error = np.abs(found.values - found.targets).mean()
        assert error == pytest.approx(reported[task]["mae"], rel=1e-5)
        scale = np.abs(raw[:, number]).max()
        assert np.sort(found.targets) == pytest.approx(np.sort(raw[:, number]), abs=1e-5 * scale)
    assert run.predict("validation")["mu"].values.shape == (20,)


def test_predictions_of_images(made):
    run = made("nyuv2")
    found, reported = run.predict(), run.summary["metrics"]["last"]
    classes = found["segmentation"]
    assert classes.values.shape == classes.targets.shape
    labelled = classes.targets >= 0
    share = 100 * (classes.values == classes.targets)[labelled].mean()
    assert share == pytest.approx(reported["segmentation"]["pixacc"])
    known = found["depth"].targets != 0
    error = np.abs(found["depth"].values - found["depth"].targets)[known].mean()
    assert error == pytest.approx(reported["depth"]["abs_err"], rel=1e-4)


def test_what_cannot_be_predicted_is_told_in_one_line(made):
    with pytest.raises(ConfigError, match="has environments and no samples to predict"):
        made("pendulum6").predict()
    with pytest.raises(ConfigError, match="split=train: allowed: validation, test"):
        made("qm9").predict("train")
    with pytest.raises(ConfigError, match="rule=best: allowed: best_val, last"):
        made("qm9").load_network("best")
    with pytest.raises(RecordError, match="give one of actor, critic"):
        made("pendulum6").steps()
    with pytest.raises(RecordError, match="no step log of actor"):
        made("qm9").steps("actor")


def test_the_logs_are_data_frames(made):
    run = made("qm9")
    history = run.history
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["test/mu/mae"].iloc[-1] == run.summary["metrics"]["last"]["mu"]["mae"]
    steps = run.steps()
    assert steps["step"].tolist() == list(range(1, 17))
    means = steps.groupby("epoch")["loss/mu"].mean()
    assert means.tolist() == pytest.approx(history["train_loss/mu"].tolist(), rel=1e-5)
    assert set(made("pendulum6").steps("critic")["epoch"]) == {1, 2}
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 5, ')  # of a training that is writing a line
    try:
        assert len(run.history) == 4
    finally:
        text = (run.path / "metrics.jsonl").read_text().rpartition("\n")[0]
        (run.path / "metrics.jsonl").write_text(text + "\n")


def test_a_finished_run_is_loaded_by_the_words_that_trained_it(made):
    run = made("qm9")
    paths = (f"paths.{key}={run.config['paths'][key]}" for key in ("data", "results"))
    assert mtl_bench.train(*WORDS["qm9"], *paths).path == run.path
    for words in (("-m", "method=ls,mgda"), ("experiment=table3",), ("method=ls,mgda",)):
        with pytest.raises(ConfigError) as caught:
            mtl_bench.train("dataset=qm9", "profile=smoke", *words)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["qm9", "qm9, separate", "pendulum6"])
def test_an_exported_network_is_the_network(name, made, tmp_path, capsys):
    run = made(name)
    file = tmp_path / "network.safetensors"
    assert main(["export", str(run.path), "--to", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    loaded, own = load_file(file), run.network.state_dict()
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[key], own[key]) for key in own)
    with safe_open(file, "pt") as opened:
        assert mtl_bench.load_run(run.path).config["seed"] == 0
        assert run.path.name in opened.metadata()["record"]
    if name == "qm9":
        words = {key: run.config["architecture"][key] for key in ("dim", "edge_hidden")}
        network = mtl_bench.build_architecture("qm9", profile="smoke", **words)
        network.load_state_dict(loaded)
    assert main(["export", str(run.path), "--to", str(tmp_path / "none" / "x")]) == 2
    assert capsys.readouterr().err.endswith(f"there is no folder {tmp_path / 'none'}\n")
    assert main(["export", str(run.path), f"--to={file}", "rule=last"]) == 0
    last = run.load_network("last").state_dict()
    assert all(torch.equal(value, last[key]) for key, value in load_file(file).items())


def test_a_network_is_not_exported_into_a_record(made, capsys):
    file = made("qm9").path / "summary.json"
    before = file.read_bytes()
    assert main(["export", str(made("qm9").path), "--to", str(file)]) == 2
    assert f"--to {file}: {file.parent} is the record of a run" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_committed_record_says_that_it_has_no_network():
    records = mtl_bench.load_results(ROOT / "results", profile="mini", dataset="qm9", method="uw")
    run = mtl_bench.load_run(records["path"].iloc[0])
    assert isinstance(run.history, pd.DataFrame)
    assert len(run.steps()) == run.summary["steps"]
    for ask in (lambda: run.network, run.evaluate, run.predict):
        with pytest.raises(RecordError, match="records alone hold no network") as caught:
            ask()
        assert "\n" not in str(caught.value)
    with pytest.raises(RecordError, match="holds no run"):
        mtl_bench.load_run(ROOT / "results")
