"""Which runs of a sweep are carried out, on what, and what becomes of the others."""

import os
import signal
import sys
from pathlib import Path

import pytest

from mtl_bench.errors import ConfigError, Interrupted
from mtl_bench.launch import cell, cluster, command, processes
from mtl_bench.launch.cell import SweepRun, inspect_run, run_cell
from mtl_bench.launch.sweep import inspect_sweep, sweep
from mtl_bench.training.run import RunOutcome
from tests.records.synthetic import qm9_tasks, scaled, write_record

WORDS = ("dataset=qm9", "profile=smoke", "method=ls,stl", "seed=0,1")
CELLS = ("method=ls seed=0", "method=ls seed=1", "method=stl seed=0", "method=stl seed=1")


@pytest.fixture(autouse=True)
def _desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def short(overrides):
    return " ".join(word for word in overrides if word.startswith(("method=", "seed=")))


def finish(words):
    """Make the record of a finished run."""
    path = Path(inspect_run([*WORDS[:2], *words.split()]).path)
    seed, _, digest = path.name.removeprefix("seed").partition("-")
    write_record(
        Path("results"),
        path.parent.name,
        int(seed),
        profile="smoke",
        hash8=digest,
        tasks=qm9_tasks("mu"),
        values=scaled(1.0, "mu"),
    )


class Recorder:
    """A task that carries out nothing and notes what it was asked for."""

    def __init__(self, **states):
        self.states = states
        self.asked = []

    def __call__(self, overrides, slot):
        self.asked.append(short(overrides))
        state = self.states.get(short(overrides).replace("method=", "").replace(" seed=", ""))
        return SweepRun(overrides, None, state or "finished", state and f"it {state}")


def test_finished_runs_are_not_handed_out_again():
    finish(CELLS[0])
    finish(CELLS[3])
    task = Recorder()
    outcomes = sweep(WORDS, task)
    assert task.asked == [CELLS[1], CELLS[2]]
    assert [short(outcome.overrides) for outcome in outcomes] == list(CELLS)
    assert {outcome.state for outcome in outcomes} == {"finished"}


@pytest.mark.parametrize(
    ("words", "module", "given"),
    [
        (("hydra/launcher=processes", "hydra.launcher.n_jobs=3"), processes, {"n_jobs": 3}),
        (("hydra/launcher=submitit_local",), cluster, {"timeout_min": 60}),
        (("hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=8"), cluster, {"mem_gb": 8}),
    ],
    ids=["processes", "local", "slurm"],
)
def test_every_launcher_gets_what_is_left_and_its_settings(words, module, given, monkeypatch):
    if module is cluster:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    finish(CELLS[1])
    handed = []

    def launch(*arguments, settings):
        *_, task, cells = arguments
        handed.extend(map(short, cells))
        assert given.items() <= settings.items()
        return [task(overrides, None) for overrides in cells]

    monkeypatch.setattr(module, "launch", launch)
    assert len(sweep((*WORDS, *words), Recorder())) == 4
    assert handed == [CELLS[0], CELLS[2], CELLS[3]]
    for number in (0, 2, 3):
        finish(CELLS[number])
    sweep((*WORDS, *words), Recorder())
    assert len(handed) == 3  # nothing is launched where all is finished


def test_settings_that_make_no_other_run_make_one_run():
    task = Recorder()
    outcomes = sweep((*WORDS[:2], "method=ls", "seed=0", "trainer.workers=0,1"), task)
    assert task.asked == [CELLS[0]]
    assert [outcome.state for outcome in outcomes] == ["finished", "finished"]


def test_a_run_that_fails_stops_no_other():
    outcomes = sweep(WORDS, Recorder(ls1="failed"))
    assert [outcome.state for outcome in outcomes] == ["finished", "failed", *["finished"] * 2]


def test_a_run_that_can_not_be_is_not_handed_out():
    task = Recorder()
    outcomes = sweep((*WORDS[:3], "seed=0,-1"), task)
    assert task.asked == [CELLS[0], CELLS[2]]
    assert [outcome.state for outcome in outcomes] == ["finished", "failed"] * 2
    assert "seed=-1" in outcomes[1].error


@pytest.mark.parametrize(
    ("word", "message"),
    [
        *((f"seed={word}", "allowed: such as") for word in ("range(0,0)", "range(2,1)")),
        *((f"seed={word}", "allowed: such as") for word in ("interval(0,1)", "range(0,3,0)")),
        *((f"seed={word}", "allowed: such as") for word in ("glob(*)", "sort(range(0,0))")),
        ("method=glob(zzz*)", "allowed: alignedmtl, cagrad"),
        ("method=glob(*,exclude=*)", "allowed: alignedmtl, cagrad"),
    ],
)
def test_a_sweep_over_nothing_is_refused(word, message):
    for use in (inspect_sweep, sweep):
        with pytest.raises(ConfigError) as info:
            use((*WORDS, word))
        assert str(info.value).startswith(f"{word}: names no values; {message}")


@pytest.mark.parametrize("word", ["hydra/launcher=processes", "hydra.launcher.n_jobs=2"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_launcher_without_a_sweep_is_refused(word, dry_run):
    with pytest.raises(ConfigError, match=f"{word}: launchers are for sweeps; give -m"):
        command.train([*WORDS, "method=ls", word], dry_run=dry_run)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        *((f"hydra{key}=x", None) for key in ("", ".sweeper", ".launcher", ".mode", ".sweep.dir")),
        *((f"hydra{key}=optuna", None) for key in ("/sweeper", ".sweeper")),
        *((f"hydra.{key}=null", None) for key in ("sweeper", "launcher", "overrides")),
        ("hydra.launcher=joblib", None),
        ("+hydra.sweeper.params.seed='0,1'", None),
        ("~hydra.sweeper", None),
        ("hydra.sweeper.max_batch_size=x", "hydra.sweeper.max_batch_size: Value 'x'"),
        ("hydra.launcher.n_jobs=2", "unknown key hydra.launcher.n_jobs; the chosen hydra/launcher"),
    ],
)
def test_settings_of_hydra_that_a_sweep_does_not_have_are_refused(word, key):
    for use in (inspect_sweep, sweep):
        with pytest.raises(ConfigError) as info:
            use((*WORDS, word))
        text = key or f"{word}: allowed of Hydra's settings are hydra/launcher=basic, processes"
        assert str(info.value).startswith(text)
        assert "\n" not in str(info.value)


def test_a_method_that_a_pattern_finds_is_left_out_where_its_extra_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    task = Recorder()
    outcomes = sweep((*WORDS[:2], "method=glob([torchjd,ls])", "seed=0,1"), task)
    assert task.asked == list(CELLS[:2])
    assert [outcome.state for outcome in outcomes] == [*["finished"] * 2, *["left out"] * 2]
    monkeypatch.setattr(command, "sweep", lambda words: outcomes)
    assert command.train(("profile=smoke",), multirun=True) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "2 of 2 runs are finished"
    assert second.startswith("left out: method=torchjd needs TorchJD")
    assert second.endswith("pip install 'mtl_bench[torchjd]'")
    monkeypatch.setattr(command, "inspect_sweep", lambda words: outcomes)
    assert command.train(("profile=smoke",), multirun=True, dry_run=True) == 0
    assert capsys.readouterr().out.splitlines() == [second, "2 finished, 2 left out"]


def test_a_method_that_was_named_is_not_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    task = Recorder()
    outcomes = sweep((*WORDS[:2], "method=torchjd,ls", "seed=0"), task)
    assert task.asked == [CELLS[0]]
    assert [outcome.state for outcome in outcomes] == ["failed", "finished"]
    assert "pip install 'mtl_bench[torchjd]'" in outcomes[0].error


def test_what_a_method_refuses_is_known_before_data_are_read(tmp_path):
    """There is a folder of data that can't be read, and no record is left."""
    (tmp_path / "data" / "nyuv2").mkdir(parents=True)
    words = ("dataset=nyuv2", WORDS[1], "method=torchjd", "method.aggregator=NashMTL")
    with pytest.raises(ConfigError, match="aggregator=NashMTL can't be used"):
        command.train(words)
    (outcome,) = inspect_sweep(words)
    assert outcome.state == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_request_between_two_runs_begins_no_other():
    class Told(Recorder):
        def __call__(self, overrides, slot):
            os.kill(os.getpid(), signal.SIGTERM)  # during the last evaluation, say
            return super().__call__(overrides, slot)

    task = Told()
    outcomes = sweep(WORDS, task)
    assert task.asked == [CELLS[0]]
    assert [outcome.state for outcome in outcomes] == ["finished", *["interrupted"] * 3]


def test_batches_follow_one_another_until_one_is_stopped(monkeypatch):
    batches = []

    def launch(task, cells, settings):
        batches.append([short(overrides) for overrides in cells])
        return [task(overrides, None) for overrides in cells]

    monkeypatch.setattr(processes, "launch", launch)
    words = (*WORDS, "hydra/launcher=processes", "hydra.sweeper.max_batch_size=2")
    sweep(words, Recorder(ls1="failed"))
    assert batches == [list(CELLS[:2]), list(CELLS[2:])]
    outcomes = sweep(words, Recorder(ls1="interrupted"))
    assert len(batches) == 3
    assert [outcome.state for outcome in outcomes] == ["finished", *["interrupted"] * 3]


def test_the_command_tells_what_failed_and_ends_as_interrupted(monkeypatch, capsys):
    outcomes = sweep(WORDS, Recorder(ls0="failed", ls1="interrupted", stl1="interrupted"))
    monkeypatch.setattr(command, "sweep", lambda words: outcomes)
    with pytest.raises(Interrupted, match="it interrupted, and in 1 other run"):
        command.train(WORDS, multirun=True)
    told = capsys.readouterr()
    assert told.out == "1 of 4 runs are finished\n"
    assert "method=ls seed=0: it failed" in told.err.splitlines()[0]


@pytest.mark.parametrize(
    "launcher", [(), ("hydra/launcher=processes",), ("hydra/launcher=submitit_slurm",)]
)
def test_a_survey_writes_and_launches_nothing(launcher, tmp_path):
    if launcher == ("hydra/launcher=submitit_slurm",):
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    told = inspect_sweep((*WORDS, *launcher))
    assert [outcome.state for outcome in told] == ["missing"] * 4
    assert [short(outcome.overrides) for outcome in told] == list(CELLS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nosuch", "joblib"])
def test_another_launcher_is_refused_with_those_that_there_are(name):
    with pytest.raises(ConfigError, match=f"hydra/launcher={name}: .*; allowed: basic, processes"):
        sweep((*WORDS, f"hydra/launcher={name}"), Recorder())


def test_a_batch_of_none_is_refused():
    with pytest.raises(ConfigError, match="max_batch_size=0: must be 1 or more"):
        sweep((*WORDS, "hydra.sweeper.max_batch_size=0"), Recorder())


@pytest.mark.parametrize(
    ("words", "slot", "progress"),
    [((), 0, "named"), ((), None, "auto"), (("logger.progress=off",), 0, "off")],
)
def test_runs_side_by_side_share_a_terminal(words, slot, progress, monkeypatch):
    given = []
    monkeypatch.setattr(
        cell, "run", lambda config: given.append(config) or RunOutcome("", "finished")
    )
    assert run_cell([*WORDS[:2], "method=ls", *words], slot).state == "finished"
    assert [config["logger"]["progress"] for config in given] == [progress]


def test_what_the_system_refuses_is_said_as_for_a_single_run(monkeypatch):
    def refuse(config):
        raise FileNotFoundError(2, "No such file or directory", "/proc/x")

    monkeypatch.setattr(cell, "run", refuse)
    outcome = run_cell([*WORDS[:2], "method=ls"])
    assert outcome[2:] == ("failed", "/proc/x: No such file or directory")
