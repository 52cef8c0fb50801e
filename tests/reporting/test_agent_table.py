"""The table of what agents could learn: rewards that are known functions of the weights."""

import csv

import numpy as np
import pytest

from mtl_bench.cli import main
from mtl_bench.errors import RecordError
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.agent_table import (
    explained_variance,
    inflation,
    measure,
)
from mtl_bench.reporting.run_tables import render_runs
from mtl_bench.reporting.states import States
from tests.golden.cells import ROOT
from tests.reporting.figures.records import write_run
from tests.reporting.test_weight_table import rows_of

SETTINGS = {
    "method.lambda_l": 2.0,
    "method.lambda_g": 10.0,
    "method.normalize": "l2",
    "method.normalize_scope": "all",
}


def simplex(count, tasks=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(tasks), size=count)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_what_the_weights_tell_of_a_reward_is_found(noise):
    weights_NT = simplex(4000)
    told_N = weights_NT @ [1.0, -2.0, 0.5, 3.0]
    noise_N = noise * np.random.default_rng(1).normal(size=4000)
    explained, chance = explained_variance(told_N + noise_N, weights_NT)
    assert chance == pytest.approx(3 / 3999)
    assert explained == pytest.approx(told_N.var() / (told_N.var() + noise**2), abs=0.03)


def test_what_they_do_not_tell_is_at_chance():
    found = [
        explained_variance(np.random.default_rng(seed).normal(size=100), simplex(100, seed=seed))
        for seed in range(200)
    ]
    assert np.mean([explained for explained, _ in found]) == pytest.approx(found[0][1], rel=0.2)


def test_constant_weights_and_constant_rewards_tell_nothing():
    assert explained_variance(np.arange(5.0), np.full((5, 3), 1 / 3)) == (0.0, 0.0)
    assert np.isnan(explained_variance(np.ones(5), simplex(5))[0])


def test_rewards_that_telescope_are_not_inflated():
    level_N = np.random.default_rng(0).normal(size=400) + np.linspace(9, 2, 400)
    drops_N = level_N[:-1] - level_N[1:]
    assert inflation(drops_N, level_N[:-1]) == pytest.approx(1)
    assert inflation(drops_N + 0.05, level_N[:-1]) == pytest.approx(1 + 0.05 * 380 / 7, rel=0.2)
    assert np.isnan(inflation(np.ones(4), np.ones(4)))


def game(transition, count=60, tasks=3):
    """States, and the losses and Gram matrices of a step with the reward that it earns."""
    generator = np.random.default_rng(5)
    losses_NT = generator.uniform(0.1, 2, size=(count, tasks))
    rows = generator.normal(size=(count, tasks, 5)) * generator.uniform(0.1, 9, (count, tasks, 1))
    grams_NTT = rows @ rows.transpose(0, 2, 1)
    weights_NT = simplex(count, tasks)
    level_N = np.log1p(losses_NT).sum(1)
    drop_N = (
        level_N - np.roll(level_N, -1)
        if transition == "next_batch"
        else generator.normal(size=count)
    )
    units = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    norm_N = -(np.einsum("nt,ntp->np", weights_NT, units) ** 2).sum(1)
    earned = np.stack([drop_N, norm_N, 2 * drop_N + 10 * norm_N], axis=1)
    logged = np.roll(earned, 1, axis=0) if transition == "next_batch" else earned
    states = States(np.arange(count), losses_NT, grams_NTT, weights_NT, logged)
    return states, rows, units, earned


@pytest.mark.parametrize("transition", ["next_batch", "same_batch"])
def test_every_number_of_a_made_up_run(transition):
    states, rows, units, earned = game(transition)
    found = measure(states, SETTINGS | {"method.transition": transition})
    last = -1 if transition == "next_batch" else None
    earned, rows, units = earned[:last], rows[:last], units[:last]
    weights_NT = states.weights_NT[:last]
    assert found.explained == explained_variance(earned[:, 2], weights_NT)[0]
    assert found.loss_deviation == pytest.approx(2 * earned[:, 0].std())
    assert found.gradient_deviation == pytest.approx(10 * earned[:, 1].std())
    if transition == "next_batch":
        assert found.inflation == pytest.approx(1)
    equal_N = -(units.mean(axis=1) ** 2).sum(1)
    assert found.better_gradient == (earned[:, 1] > equal_N).mean()
    slope_NP = np.einsum("nt,ntp->np", 1 / (1 + states.losses_NT[:last]), rows)
    along_NT = np.einsum("np,ntp->nt", slope_NP, units)
    assert found.better_loss == ((weights_NT * along_NT).sum(1) > along_NT.mean(1)).mean()
    assert 0 < found.better_gradient < 1
    assert 0 < found.better_loss < 1


def test_without_a_gradient_reward_nothing_is_compared_by_it():
    found = measure(game("next_batch")[0], SETTINGS | {"method.gradient_reward": "none"})
    assert found.better_gradient is None


def test_updates_that_all_lack_a_task_tell_nothing():
    states, *_ = game("next_batch")
    states.losses_NT[:, 1] = np.nan
    with pytest.raises(RecordError, match="no update had labels of all tasks"):
        measure(states, SETTINGS)


def test_the_reward_of_raw_gradients_is_compared_by_the_raw_ones():
    states, rows, *_ = game("next_batch")
    found = measure(states, SETTINGS | {"method.reward_gradients": "raw"})
    own_N = (np.einsum("nt,ntp->np", states.weights_NT, rows) ** 2).sum(1)
    assert found.better_gradient == (own_N < (rows.mean(axis=1) ** 2).sum(1))[:-1].mean()


def test_committed_records_show_what_each_algorithm_is_paid_for(capsys):
    words = ["profile=mini", "dataset=qm9", "seed=0", f"paths.results={ROOT / 'results'}"]
    assert main(["tables", "agents", "format=csv", *words]) == 0
    lines = csv.DictReader(capsys.readouterr().out.splitlines())
    rows = {line["run"]: line for line in lines}
    usual, same = rows["taskforce seed 0"], rows["taskforce-alt seed 0"]
    assert float(usual["r_L / progress"]) == pytest.approx(1, abs=0.01)
    assert float(same["r_L / progress"]) > 10
    assert float(usual["R² [%]"]) < 1 < float(same["R² [%]"])


def test_a_log_without_rewards_is_named_and_other_methods_have_no_row(tmp_path):
    write_run(tmp_path, "ls", 0)
    assert render_runs("agents", find_records(tmp_path), form="markdown", width=100) == ""
    path = write_run(tmp_path, "taskforce", 0)
    text = render_runs("agents", find_records(tmp_path), form="markdown", width=1000)
    assert rows_of(text) == []
    assert f"- taskforce seed 0: {path}" in text


def test_without_taskforce_it_says_so(tmp_path, capsys):
    write_run(tmp_path, "ls", 0)
    assert main(["tables", "agents", f"paths.results={tmp_path}"]) == 0
    assert capsys.readouterr().out.startswith("No record here is of TaskForce.")
