"""Tables, status and dashboards of runs whose score is a mean, not Δm."""

import csv
import io
from statistics import fmean, stdev

import pytest

from mtl_bench.cli import main
from mtl_bench.records.reader import find_records
from mtl_bench.reporting.run_tables import render_runs
from mtl_bench.reporting.selections import render_selections
from mtl_bench.reporting.status import render_status
from mtl_bench.reporting.tables import render_tables
from mtl_bench.scores import MeanOf
from mtl_bench.tracking.dashboard import read_run
from mtl_bench.tracking.feed import Feed, epoch_values, final_values
from tests.records.control import explode, write_control
from tests.records.synthetic import qm9_tasks, scaled, write_record

LS = [(1.0, 0.4), (0.9, 0.5), (0.8, 0.9)]
PCGRAD = [(1.0, 1.0), (1.0, 0.9), (0.9, 1.0)]


@pytest.fixture
def results(tmp_path):
    for label, found in (("ls", LS), ("pcgrad", PCGRAD)):
        for seed, (near, far) in enumerate(found):
            write_control(tmp_path, label, seed, near, far)
    return tmp_path


def table(text):
    """Return row's name -> head -> cell of a table as CSV."""
    rows = list(csv.DictReader(io.StringIO(text)))
    return {row[next(key for key in ("method", "run") if key in row)]: row for row in rows}


def test_the_table_is_about_success_and_not_about_single_tasks(results):
    records = find_records(results)
    shown = render_tables(records)
    for absent in ("Δm", "Δt", "STL", "single-task"):
        assert absent not in shown
    assert "simulated environments (pendulum 1)" in shown
    rows = table(render_tables(records, form="csv"))
    for label, found in (("ls", LS), ("pcgrad", PCGRAD)):
        means = [fmean(pair) for pair in found]
        assert float(rows[label]["success ↑"]) == pytest.approx(fmean(means))
        assert float(rows[label]["success ↑ sd"]) == pytest.approx(stdev(means))
        middle = sorted(value for pair in found for value in pair)[1:-1]
        assert float(rows[label]["IQM ↑"]) == pytest.approx(fmean(middle))
        low, high = (float(rows[label][f"95 % {end}"]) for end in ("low", "high"))
        assert low < fmean(middle) < high
        assert rows[label]["critic parameters"] == "20"
        assert rows[label]["actor parameters"] == "10"
    assert rows["pcgrad"]["MR ↓"] == "1.0"  # by success alone: by return it would be 1.5
    assert float(rows["pcgrad"]["P(> LS) ↑"]) > 0.5


def test_how_soon_tasks_were_learned_stands_beside_the_score(tmp_path):
    """Most seeds of LS make it to 0.8 of an epoch's episodes, one of PCGrad's, none of UW's."""
    learned = {
        "ls": [(0.5, 400), (0.7, 300), (0.3, None)],
        "pcgrad": [(0.2, None), (0.4, 900)],
        "uw": [(0.1, None), (0.1, None)],
    }
    for label, seeds in learned.items():
        for seed, (area, steps) in enumerate(seeds):
            told = {"training_auc": {"mean": area}, "steps_to_0.8": {"mean": steps}}
            write_control(tmp_path, label, seed, **told)
    write_control(tmp_path, "stl", 0)
    shown = render_tables(find_records(tmp_path))
    assert "400 (2 of 3)" in shown
    assert "– (1 of 2)" in shown
    assert "never |" in shown
    assert "AUC: area under the curve" in shown
    rows = table(render_tables(find_records(tmp_path), form="csv"))
    assert float(rows["ls"]["AUC ↑"]) == pytest.approx(0.5)
    assert float(rows["ls"]["AUC ↑ sd"]) == pytest.approx(0.2)
    assert rows["stl"]["AUC ↑"] == rows["stl"]["steps to 0.8 ↓"] == ""


def test_the_best_is_marked_by_the_interval_of_the_middle(tmp_path):
    """Not by the mean: of the worst that one seed of the best does, the middle takes no notice."""
    for seed in range(4):
        write_control(tmp_path, "ls", seed, 0.5 + seed / 100, 0.5)
        write_control(tmp_path, "pcgrad", seed, 1.0, 1.0 if seed else 0.75)
    lines = render_tables(find_records(tmp_path), width=250).splitlines()
    head, _, *rows = (line.split("|") for line in lines if line.startswith("|"))
    column = next(at for at, name in enumerate(head) if "IQM" in name)
    assert [row[column].strip() for row in rows] == ["0.50", "**1.00**"]
    assert all("*" not in row[column - 1] for row in rows)


def test_runs_that_exploded_are_counted_beside_the_score(results):
    explode(write_control(results, "ls", 7, done=False))
    explode(write_control(results, "ls", 8, done=False))
    explode(write_control(results, "mgda", 0, done=False))
    records = find_records(results)
    assert [r.state for r in records if r.seed > 6 or r.method == "mgda"] == ["exploded"] * 3
    rows = table(render_tables(records, form="csv"))
    assert (rows["ls"]["exploded"], rows["ls"]["n"]) == ("2", "3")
    assert rows["pcgrad"]["exploded"] == "0"
    text = render_tables(records)
    assert "further runs that a loss above its bound has ended" in " ".join(text.split())
    assert "Not shown: 3 exploded" in text
    assert "6 finished, 3 exploded" in render_status(records).plain


def test_status_expects_no_single_task_runs(results):
    assert render_status(find_records(results)).plain == (
        "mini / pendulum6\n"
        "        seed 0  seed 1  seed 2\n"
        "ls      done    done    done\n"
        "pcgrad  done    done    done\n"
        "6 finished"
    )


def test_status_of_an_unfinished_run_goes_by_its_environment(tmp_path):
    write_control(tmp_path, "ls", 0, done=False)
    assert "stl" not in render_status(find_records(tmp_path)).plain
    write_record(tmp_path, "ls", 0, done=False)  # QM9, which says nothing of its score
    assert "stl" in render_status(find_records(tmp_path)).plain


def test_the_score_under_every_rule(results):
    rows = table(render_selections(find_records(results), form="csv", width=100))
    mean = fmean(value for pair in LS for value in pair)
    assert float(rows["ls"]["success ↑ last"]) == pytest.approx(mean)
    assert float(rows["ls"]["success ↑ last_k_mean"]) == pytest.approx(mean / 2)


def test_runs_of_another_score_are_another_comparison(results):
    shared = {"profile": "mini", "selection": "last", "architecture": "mlp"}
    data = {"kind": "simulated", "source": "pendulum 1", "manifest": ""}
    write_record(
        results, "dwa", 0, dataset="pendulum6", tasks=qm9_tasks("mu"), epochs_total=4,
        metrics={"last": scaled(1.0, "mu")}, data=data, **shared,
    )  # fmt: skip
    shown = render_tables(find_records(results))
    assert shown.count("## mini / pendulum6") == 2
    assert "Δm" in shown


def test_what_a_step_costs(results):
    rows = table(render_runs("costs", find_records(results), form="csv", width=100))
    assert {rows["pcgrad"][f"{phase} [ms]"] for phase in ("data", "forward")} == {"100.0", "200.0"}
    assert rows["pcgrad"]["step cost"] == "1.0"
    assert rows["pcgrad"]["CPU [ms]"] == "200.0"
    assert [rows["ls"][head] for head in ("parameters", "critic parameters", "shared")] == [
        *("30", "20", "24"),
    ]


def test_weights_are_those_of_each_component(results):
    rows = table(render_runs("weights", find_records(results), form="csv", width=100))
    assert rows["pcgrad actor seed 0"]["far"] == "50.0"
    assert float(rows["pcgrad critic seed 0"]["far"]) > 80


def test_the_commands_take_such_records(results, capsys, tmp_path):
    words = (f"paths.results={results}",)
    for command in (("tables",), ("tables", "costs"), ("status",), ("tables", "selection=all")):
        assert main([*command, *words]) == 0
        assert "Δm" not in capsys.readouterr().out
    assert main(["report", *words, f"output={tmp_path / 'page.html'}"]) == 0


def test_dashboards_name_the_score(results):
    score = MeanOf("success", decimals=2)
    line = {"epoch": 1, "success_test": 0.5, "training_success": {"near": 0.25}}
    assert epoch_values(line, score) == {
        "epoch": 1,
        "success/test": 0.5,
        "training_success/near": 0.25,
    }
    record = find_records(results)[0]
    run = read_run(record.path)
    assert (run.score.panel, run.score.heading) == ("success", "success ↑")
    assert "success is the mean over tasks" in run.about
    assert final_values(record.summary)["final/last/success"] == pytest.approx(fmean(LS[0]))
    rows = list(Feed(record.path, 100, run.score).read())
    assert [row.values["success/test"] for row in rows] == pytest.approx([0.175, 0.35, 0.525, 0.7])


def test_a_table_of_systems_tells_missing_seeds_explosions_and_masks(tmp_path, capsys):
    masks = {"algorithm": {"mask_loss_above": 3000.0}}
    for seed in (0, 1):
        write_control(tmp_path, "ls-paco", seed, masked={"far": 2 + seed}, settings=masks)
    write_control(tmp_path, "ls-paco_mask", 0, settings=masks)
    explode(write_control(tmp_path, "ls-paco_mask", 1, settings=masks, done=False))
    explode(write_control(tmp_path, "ls-paco_vanilla", 0, done=False))
    assert main(["tables", "paco_table2", f"paths.results={tmp_path}"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "exploded 4/4" in text  # in place of the score of the row that has no other run
    assert "PaCo, mask-out only: only seed 0." in text
    assert "PaCo, mask-out only: seed 1 exploded" in text
    masked = f"far in {4 * 2} (seed 0), {4 * 3} (seed 1)."
    assert f"PaCo: left out of updates because of its loss: {masked}" in text
    assert "PaCo, mask-out only: left out" not in text
    assert "Exploded: further runs that a loss above its bound has ended." in text
    assert "| 20 |" in text  # parameters of the critics, and of the policy
    assert "| 10 |" in text
